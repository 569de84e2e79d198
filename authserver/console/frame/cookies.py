"""The session cookie; before a sign-in it only ties a form to a browser (CSRF)."""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

from flask import Response, after_this_request, current_app, g, request

from authserver.console.context import Services, console_context

_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
FORM_FIELD: Final = "_csrf"
HEADER: Final = "X-CSRF-Token"


def cookie_name(name: str = "console") -> str:
    """The cookie's name; where people come by https, no other host can set it (RFC 6265bis).

    Below the path of an issuer the cookie is for that path alone, which the prefix ``__Host-`` does not allow.
    """
    if not console_context().secure:
        return name
    return f"__Secure-{name}" if request.script_root else f"__Host-{name}"


def cookie_path() -> str:
    """The path cookies are for: all that is below the issuer."""
    return f"{request.script_root}/"


def browser_id() -> str:
    """The id this browser came with, or a fresh one that it will be given."""
    known: str | None = g.get("console_browser_id")
    if known is None:
        given = request.cookies.get(cookie_name(), "")
        known = given if _ID.fullmatch(given) else secrets.token_urlsafe(32)
        if known != given:
            assign_id(known)
        g.console_browser_id = known
    return known


def assign_id(browser_id: str) -> None:
    """Give the browser another id with this answer."""
    g.console_browser_id = g.console_new_id = browser_id


def forget_id() -> None:
    """Replace the browser's id by one that no session has."""
    assign_id(secrets.token_urlsafe(32))


def apply_cookies(response: Response) -> None:
    """Put the id into the answer, where it is a new one."""
    fresh: str | None = g.get("console_new_id")
    if fresh is not None:
        put(response, cookie_name(), fresh)


def put(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send along with a form."""
    response.set_cookie(
        name, value, max_age=max_age, path=cookie_path(), secure=console_context().secure, httponly=True, samesite="Lax"
    )


def drop(name: str) -> None:
    """Delete a cookie with this response."""
    secure = console_context().secure

    @after_this_request
    def delete_cookie(response: Response) -> Response:
        response.delete_cookie(name, path=cookie_path(), secure=secure, httponly=True, samesite="Lax")
        return response


def csrf_token() -> str:
    """The CSRF token of every form: made from the session, or from the browser's id before there is one."""
    current_user = console_context().current_user
    return token_for(f"signed-in:{current_user.session.handle}" if current_user else f"browser:{browser_id()}")


def token_for(subject: str) -> str:
    """The token of one sign-in or browser."""
    # Once a request: every form of a page carries it, and a list has a form a row.
    known: dict[str, str] = g.setdefault("console_tokens", {})
    if subject not in known:
        mac = hmac.digest(_key(), f"csrf:{subject}".encode(), hashlib.sha256)
        known[subject] = base64.urlsafe_b64encode(mac).decode().rstrip("=")
    return known[subject]


def sent_token() -> str:
    """The token that came with the request."""
    return request.headers.get(HEADER, "") or request.form.get(FORM_FIELD, "")


def same_token(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _key() -> bytes:
    services: Services = current_app.extensions["services"]
    known: tuple[Services, bytes] | None = current_app.extensions.get("console_key")
    if known is None or known[0] is not services:
        known = current_app.extensions["console_key"] = (services, services.master().subkey("console-csrf"))
    return known[1]
