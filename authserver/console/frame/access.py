"""Access to the pages: nothing is public unless its view says so, and nothing changes without a CSRF token.

Checked in this order: a private connection, a session, the CSRF token, a permission, a
recent proof. The decorators below say what a page needs; the rest holds for all.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Final, ParamSpec

from flask import Response, abort, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions.sign_in import session_state
from authserver.console.blueprint import console
from authserver.console.context import Services, console_context
from authserver.console.frame import cookies
from authserver.ports.sign_in import CurrentUser
from authserver.ports.store import Store
from authserver.rules.facts import Span
from authserver.rules.sign_in import JUST_NOW, RECENT, proof_too_old

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]
_PUBLIC: Final[set[Callable[..., ResponseReturnValue]]] = set()

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE: Final = frozenset({"", "none", "same-origin"})


def public(view: View[P]) -> View[P]:
    """Open a page to everybody; put it under the route."""
    _PUBLIC.add(view)
    return view


def requires(permission: str) -> Callable[[View[P]], View[P]]:
    """Open a page only to those one of whose roles carries ``permission``; others get 403."""

    def wrap(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            if not may(permission):
                abort(403)
            return view(*args, **kwargs)

        return guarded

    return wrap


@dataclass(frozen=True, slots=True)
class SignInPages:
    """The two pages shown instead of the one that was asked for; ``console.install`` passes them in."""

    sign_in: Callable[[str], ResponseReturnValue]
    reauthenticate: Callable[[], ResponseReturnValue]


def _sign_in_pages() -> SignInPages:
    pages: SignInPages = current_app.extensions["console_sign_in_pages"]
    return pages


def step_up(span: Span = RECENT) -> Callable[[View[P]], View[P]]:
    """Ask for the password again where the last proof is older than ``span`` seconds.

    ``RECENT`` for what hands out power, ``JUST_NOW`` for the worst acts. What was
    typed into the form comes back after it.
    """

    def wrap(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            context = console_context()
            if proof_too_old(context.now, context.signed_in.session.proof_at, span):
                return _sign_in_pages().reauthenticate()
            return view(*args, **kwargs)

        return guarded

    return wrap


def may(permission: str) -> bool:
    """Whether the signed-in user has a permission; also for templates."""
    current_user = console_context().current_user
    return current_user is not None and any(permission in role.permissions for role in current_user.user.roles)


@console.before_request
def authorize() -> ResponseReturnValue | None:
    """Let in who may come in; with the token of the form where something changes."""
    if request.endpoint == "console.static_file":
        return None
    reads = g.console_reads = ExitStack()
    reads.enter_context(_store().shared_snapshot())
    context = console_context()
    if not context.private:
        abort(400)
    state = session_state(context.store.sign_ins, cookies.browser_id(), context.now)
    context.current_user = state.current_user
    is_public = current_app.view_functions.get(request.endpoint or "") in _PUBLIC
    if is_public or request.method not in _SAFE:
        # A change, or a request to the OpenID provider, holds no read transaction meanwhile.
        reads.close()
    if context.current_user is None and not is_public:
        return _require_sign_in(state.expired)
    if request.method not in _SAFE and not _has_valid_csrf_token():
        abort(403, "csrf")
    return None


def _store() -> Store:
    services: Services = current_app.extensions["services"]
    return services.store()


@console.teardown_request
def _end_read_transaction(_error: BaseException | None) -> None:
    """End the transaction the page was read in, however it ended."""
    reads: ExitStack | None = g.pop("console_reads", None)
    if reads is not None:
        reads.close()


def _require_sign_in(expired: CurrentUser | None) -> ResponseReturnValue:
    """Send a reader to the sign-in page; whoever sent a form gets it at once, and the form is kept."""
    if request.method in _SAFE:
        return redirect(url_for("console.sign_in", next=requested_path()), 303)
    is_own = expired is not None and _has_valid_csrf_token(f"signed-in:{expired.session.handle}")
    return _sign_in_pages().sign_in(expired.user.id if is_own and expired else "")


def _has_valid_csrf_token(subject: str = "") -> bool:
    """Whether a form of ours, shown to this very sign-in, was sent from our own pages."""
    if request.headers.get("Sec-Fetch-Site", "") not in _OWN_SITE:
        return False
    expected = cookies.token_for(subject) if subject else cookies.csrf_token()
    return cookies.same_token(cookies.sent_token(), expected)


def requested_path() -> str:
    """The path that was asked for, with its query."""
    query = request.query_string.decode("ascii", "replace")
    return own_path() + (f"?{query}" if query else "")


def own_path() -> str:
    """The path of this request, also where the server lives below one."""
    return request.script_root + request.path


def local_path(text: str, default: str) -> str:
    """A path within the console that somebody may be sent to, whatever ``text`` says (T-111)."""
    # A browser drops tabs and newlines and takes a backslash for a slash, so the alphabet is short
    # and the beginning fixed.
    if not text.startswith(f"{request.script_root}/console/") and text != f"{request.script_root}/console":
        return default
    if not all("!" <= char <= "~" for char in text) or "\\" in text or "//" in text.partition("?")[0]:
        return default
    return default if "/../" in f"{text.partition('?')[0]}/" else text


@console.after_request
def set_security_headers(response: Response) -> Response:
    """Give every answer the headers of the console; pages are never kept by anybody."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "console.static_file":
        return response
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Cookie")
    # A streamed response holds no transaction meanwhile.
    _end_read_transaction(None)
    if "console_context" in g:
        from authserver.console.frame.flash import store_pending  # noqa: PLC0415 - flash imports this module

        store_pending(response)
        cookies.apply_cookies(response)
    return response


__all__ = ["JUST_NOW", "RECENT", "local_path", "may", "own_path", "public", "requires", "step_up"]
