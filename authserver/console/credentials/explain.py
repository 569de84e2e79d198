"""Why a token ended: told to the owner of its credential, and to the security team of any; looking is no use."""

from flask import abort, redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import sessions as session_actions
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.detail import REASONS
from authserver.console.frame import query_args
from authserver.console.frame.access import requires
from authserver.console.frame.layout import page
from authserver.console.frame.request_origin import origin
from authserver.console.i18n.messages import gettext
from authserver.ports.errors import NotFound
from authserver.rules import permission


@console.get("/sessions/<jti>")
def explain_session(jti: str) -> ResponseReturnValue:
    """Explain the end of a token of one's own."""
    context = console_context()
    return _explained(jti, context.signed_in.user.id, url_for("console.credentials"))


@console.get("/security/sessions/<jti>")
@requires(permission.SECURITY)
def explain_any_session(jti: str) -> ResponseReturnValue:
    """Explain the end of a token of anybody."""
    return _explained(jti, None, url_for("console.explain"))


@console.get("/security/explain")
@requires(permission.SECURITY)
def explain() -> ResponseReturnValue:
    """Ask for the id of a token, and lead to its page."""
    jti = query_args.text("jti")
    if not jti:
        return page("sessions/find.html", jti="", missing=False)
    context = console_context()
    try:
        session_actions.explain(
            context.accounts, context.store.sessions, context.store.hot_path, context.store.audit_reads, jti
        )
    except NotFound:
        return page("sessions/find.html", 404, jti=jti, missing=True)
    return redirect(url_for("console.explain_any_session", jti=jti), 303)


def _explained(jti: str, owner_id: str | None, back: str) -> ResponseReturnValue:
    context = console_context()
    try:
        found = session_actions.explain(
            context.accounts,
            context.store.sessions,
            context.store.hot_path,
            context.store.audit_reads,
            jti,
            owner_id=owner_id,
        )
    except NotFound:
        abort(404)
    reason = found.inspected.end_reason or ""
    return page(
        "sessions/explain.html",
        found=found,
        session=found.inspected.session,
        reason=gettext(REASONS[reason]) if reason in REASONS else reason,
        kept=gettext(found.kept_alive) if found.kept_alive else "",
        origin=origin,
        back=back,
        mine=owner_id is not None,
    )
