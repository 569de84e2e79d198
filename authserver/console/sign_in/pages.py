"""The sign-in pages: password, one-time link, reauthentication, sign-out."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from flask import Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from authserver.actions import sign_in as sign_in_actions
from authserver.actions.sign_in import SignedIn, SignInRefused
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame import access_log, cookies, flash
from authserver.console.frame.access import local_path, own_path, public, requested_path
from authserver.console.frame.forms import Form, without_secrets
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, ngettext
from authserver.console.sign_in.login_throttle import LoginThrottle
from authserver.ports.errors import NotFound
from authserver.ports.users import User
from authserver.telemetry.logs import logger
from keys.master import WrongMasterKey


def home() -> str:
    """The first page after a sign-in."""
    return f"{request.script_root}/console/credentials"


_DRAFT: Final = "console-draft"
_DRAFT_LIFE: Final = 12 * 3600
_MAX_DRAFT: Final = 16 * 1024
_UNMATCHED_ENDPOINT: Final = "console.nothing"


@dataclass(frozen=True, slots=True)
class SignInMethod:
    """Another way to sign in: the button's name, and where its form is sent."""

    name: str
    href: str


def sign_in_methods() -> Sequence[SignInMethod]:
    """The other ways to sign in."""
    provider = console_context().services.provider
    return (SignInMethod(provider.label, url_for("console.sign_in_with_provider")),) if provider else ()


@console.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Ask for user name and password."""
    target = local_path(request.args.get("next", ""), home())
    if console_context().current_user is not None:
        return redirect(target, 303)
    return page("sign_in.html", form=Form.initial(), next=target, sign_in_methods=sign_in_methods())


@console.post("/sign-in")
@public
def do_sign_in() -> ResponseReturnValue:
    """Let in who knows the password."""
    context, form = console_context(), Form.submitted()
    target, sealed_draft = local_path(form["next"], home()), form["_draft"]

    def form_page(status: int) -> Response:
        return page(
            "sign_in.html", status, form=form, next=target, draft=sealed_draft, sign_in_methods=sign_in_methods()
        )

    if not form["username"] or not form.raw("password"):
        for name, text in (("username", _("Type your user name.")), ("password", _("Type your password."))):
            if not form.raw(name).strip():
                form.add_error(name, text)
        return form_page(HTTPStatus.BAD_REQUEST)
    wait = login_throttle().begin(form["username"], context.peer)
    if wait:
        access_log.delayed("password")
        form.add_error("", _too_many_attempts(wait))
        return _with_retry_after(form_page(HTTPStatus.TOO_MANY_REQUESTS), wait)
    try:
        user = sign_in_actions.check_password(context.store.sign_ins, form["username"], form.raw("password"))
    except SignInRefused as error:
        # An unknown name is not recorded: it may be a password in the wrong field.
        note_refusal(error.reason, "" if error.reason == "unknown_user" else form["username"])
        form.add_error("", _("The user name or the password is wrong, or this account may not enter."))
        return form_page(HTTPStatus.UNAUTHORIZED)
    login_throttle().succeeded(form["username"], context.peer)
    fields, target = _open_draft(sealed_draft, user.id, target)
    return complete_sign_in(user, "password", target, fields)


@console.get("/link")
@public
def link() -> ResponseReturnValue:
    """Show whom a one-time link signs in; only the button uses it up, so a preview of the link does not."""
    context, code = console_context(), request.args.get("code", "")
    user = sign_in_actions.link_owner(context.store.sign_ins, code, context.now)
    return page("link.html", 200 if user else 404, user=user, code=code if user else "")


@console.post("/link")
@public
def use_link() -> ResponseReturnValue:
    """Sign in by a one-time link."""
    context = console_context()
    try:
        signed_in = sign_in_actions.use_link(
            context.accounts,
            request.form.get("code", ""),
            peer=context.peer,
            agent=request.user_agent.string,
            now=context.now,
        )
    except NotFound:
        note_refusal("bad_link", "", "link")
        return page("link.html", 404, user=None, code="")
    return _start_session(signed_in, url_for("console.profile"))


@console.get("/confirm")
def confirm_it() -> ResponseReturnValue:
    """Ask for the password again."""
    return _confirm_page(Form({}), local_path(request.args.get("next", ""), home()))


@console.post("/confirm")
def do_confirm_it() -> ResponseReturnValue:
    """Take the password as a new proof."""
    context, form = console_context(), Form.submitted()
    target, sealed_draft = local_path(form["next"], home()), form["_draft"]
    user = context.signed_in.user
    wait = login_throttle().begin(user.username, context.peer)
    if wait:
        access_log.delayed("proof")
        form.add_error("password", _too_many_attempts(wait))
        return _with_retry_after(_confirm_page(form, target, sealed_draft, HTTPStatus.TOO_MANY_REQUESTS), wait)
    try:
        new_id = sign_in_actions.reauthenticate(
            context.store.sign_ins, cookies.browser_id(), user, form.raw("password"), context.now
        )
    except SignInRefused as error:
        note_refusal(error.reason, user.username, "proof")
        form.add_error("password", _("That is not your password."))
        return _confirm_page(form, target, sealed_draft, HTTPStatus.UNAUTHORIZED)
    login_throttle().succeeded(user.username, context.peer)
    cookies.assign_id(new_id)
    access_log.granted("proof")
    fields, target = _open_draft(sealed_draft, user.id, target)
    if fields is not None:
        flash.put_draft(target, fields)
        flash.flash(_("Thank you. Your entries are still here: check them and send the form."))
    return redirect(target, 303)


@console.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this sign-in."""
    context = console_context()
    logger().info("console_signed_out", user=context.signed_in.user.username, peer=context.peer)
    context.store.sign_ins.close(sign_in_actions.hashed(cookies.browser_id()))
    context.current_user = None
    cookies.forget_id()
    return page("signed_out.html")


@console.post("/stay")
def stay() -> ResponseReturnValue:
    """Extend the console session; the script asks the user before it ends."""
    context = console_context()
    context.store.sign_ins.seen(sign_in_actions.hashed(cookies.browser_id()), context.now)
    return Response(status=204)


def complete_sign_in(
    user: User, method: str, target: str, fields: dict[str, list[str]] | None = None
) -> ResponseReturnValue:
    """Sign in a user who is authenticated, and redirect to ``target``; ``fields`` fill in its form."""
    context = console_context()
    pending = flash.pending_draft(target, fields) if fields is not None else ""
    agent = request.user_agent.string
    signed_in = sign_in_actions.begin(
        context.accounts, user, method=method, peer=context.peer, agent=agent, now=context.now, pending=pending
    )
    return _start_session(signed_in, target)


def draft_of(form: Mapping[str, str]) -> tuple[dict[str, list[str]] | None, str]:
    """What a form that asks for a proof carries along: what was typed before, if anything, and where to go."""
    target = local_path(form.get("next", ""), home())
    return _open_draft(form.get("_draft", ""), console_context().signed_in.user.id, target)


def show_sign_in(user_id: str) -> ResponseReturnValue:
    """Answer a form whose sender is not signed in any more; what was typed is kept for ``user_id``, if any."""
    target = _form_url()
    form = Form({})
    sealed_draft = _seal_draft(target, user_id) if user_id else ""
    text = _("You have been signed out. Sign in again, and what you typed is still there, except passwords.")
    form.add_error("", text if sealed_draft else _("You are not signed in. Nothing was changed."))
    return page(
        "sign_in.html",
        HTTPStatus.UNAUTHORIZED,
        form=form,
        next=target,
        draft=sealed_draft,
        sign_in_methods=sign_in_methods(),
    )


def show_reauthentication() -> ResponseReturnValue:
    """Ask for the password before the current page; its submitted form is kept."""
    if request.method in {"GET", "HEAD"}:
        return redirect(url_for("console.confirm_it", next=requested_path()), 303)
    target = _form_url()
    sealed_draft = _seal_draft(target, console_context().signed_in.user.id)
    return _confirm_page(Form({}), target, sealed_draft, HTTPStatus.UNAUTHORIZED)


def login_throttle() -> LoginThrottle:
    """How long those who guess have to wait now."""
    context = console_context()
    return LoginThrottle(context.store.login_attempts, context.store.pepper, context.now)


def _confirm_page(form: Form, target: str, sealed_draft: str = "", status: int = 200) -> Response:
    context = console_context()
    known = context.store.sign_ins.password_of(context.signed_in.user.username)
    has_password = known is not None and known[1] is not None
    return page("confirm_it.html", status, form=form, next=target, draft=sealed_draft, has_password=has_password)


def _start_session(signed_in: SignedIn, target: str) -> ResponseReturnValue:
    context = console_context()
    access_log.granted(signed_in.session.method)
    logger().info(
        "console_signed_in", user_id=signed_in.session.user_id, method=signed_in.session.method, peer=context.peer
    )
    # Whoever was signed in here before is not any more, and the id is never that from before (T-105).
    context.store.sign_ins.close(sign_in_actions.hashed(cookies.browser_id()))
    cookies.assign_id(signed_in.id)
    context.current_user = None  # this answer says nothing: the next request is the first of the sign-in
    return redirect(target, 303)


def note_refusal(reason: str, username: str, method: str = "password") -> None:
    """Log and count a refused sign-in by ``method``, with its reason."""
    context = console_context()
    access_log.refused(method)
    logger().warning("console_sign_in_refused", reason=reason, user=username or "-", peer=context.peer)
    context.services.record_refusal(reason, subject=username, peer=context.peer)


def _too_many_attempts(wait: int) -> str:
    text = ngettext(
        "Too many tries. Wait %(num)d second, then try again.",
        "Too many tries. Wait %(num)d seconds, then try again.",
        wait,
    )
    return text % {"num": wait}


def _with_retry_after(response: Response, wait: int) -> Response:
    response.headers["Retry-After"] = str(wait)
    return response


def _form_url() -> str:
    """The page that shows the form at hand: the same path, where one can read it; else where the form says it is."""
    try:
        endpoint, _values = current_app.url_map.bind("").match(request.path, method="GET")
    except (HTTPException, RequestRedirect):
        endpoint = _UNMATCHED_ENDPOINT
    return local_path(request.form.get("back", "") if endpoint == _UNMATCHED_ENDPOINT else own_path(), home())


def _seal_draft(target: str, user_id: str) -> str:
    """What was typed, sealed for the one who typed it; empty where there is nothing, or too much."""
    fields = without_secrets(request.form.to_dict(flat=False))
    if not fields:
        return ""
    text = json.dumps({"path": target, "user": user_id, "fields": fields, "until": console_context().now + _DRAFT_LIFE})
    if len(text) > _MAX_DRAFT:
        return ""
    return base64.urlsafe_b64encode(console_context().services.master().seal(_DRAFT, text.encode())).decode()


def _open_draft(sealed_draft: str, user_id: str, target: str) -> tuple[dict[str, list[str]] | None, str]:
    """What was typed, and the page it was typed into; None where it is somebody else's or too old."""
    try:
        found = json.loads(
            console_context().services.master().open(_DRAFT, base64.urlsafe_b64decode(sealed_draft.encode("ascii")))
        )
    except (ValueError, WrongMasterKey):
        return None, target
    if found["user"] != user_id or found["until"] <= console_context().now:
        return None, target
    return found["fields"], found["path"]
