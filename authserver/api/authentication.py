"""Who calls: a bearer token for the API's own audience (RFC 6750), judged by the action that answers introspection.

So the idle timeout, the role version and every other rule hold here as at any API, and a call counts as a use.
"""

import hmac
from typing import Final

from flask import request

from authserver.actions.introspect import Presented, introspect
from authserver.actions.resource_servers import management_api, management_api_secret
from authserver.api.context import ApiContext, Caller
from authserver.api.problems import Problem
from authserver.ports.errors import InvalidClient, NotFound
from authserver.rules.presented_secret import PresentedSecret

REALM: Final = 'Bearer realm="management API"'
_DEAD: Final = "The token is none of ours for this API, or it is dead; get a new one."


def authenticate(context: ApiContext, method: str, route: str) -> Caller:
    """Judge the token of the request, and count it as a use of ``route``.

    Raises:
        Problem: there is none, or it is not active for this API.
        Unavailable: the truth cannot be read.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Problem("invalid_token", "Send Authorization: Bearer TOKEN.", headers={"WWW-Authenticate": REALM})
    store = context.opened
    server = management_api(store.accounts)
    presented = context.services.presented_token(text.strip())
    if server is None or presented is None:
        raise _inactive()
    token, verify = presented
    try:
        answer = introspect(
            PresentedSecret(server.client_id, management_api_secret(store.pepper)),
            token,
            hot_path=store.hot_path,
            sessions=store.sessions,
            usage=store.usage,
            verify=verify,
            before_use=lambda _now: _check_binding(context, token),
            method=method,
            route=route,
            peer=context.peer,
        )
    except InvalidClient:
        # An operator disabled the API, which is a resource server like others.
        raise _inactive() from None
    if answer.idle_expires_at is None:
        raise _inactive()
    start = token.claimed_start() or token.recorded_start()
    try:
        user = store.accounts.user(store.accounts.credential(start.client_id).owner)
    except NotFound:
        raise _inactive() from None
    if user.role_version != start.role_version or user.disabled_at is not None:
        # The roles changed between the two reads; the next introspection would say so.
        raise _inactive()
    return Caller(
        start.client_id, start.jti, user, frozenset(start.roles.split()), start.expires_at, answer.idle_expires_at
    )


def _check_binding(context: ApiContext, token: Presented) -> None:
    """RFC 8705 §3: a token that is bound to a certificate comes over a connection of that certificate.

    RFC 9449 §7.2: one that is bound to a key is no bearer token; this API takes no proofs yet.

    Raises:
        Problem: it does not, or is.
    """
    if token.jkt:
        raise _inactive()
    if token.x5t and not hmac.compare_digest(token.x5t, context.services.certificate_thumbprint(request.environ)):
        raise _inactive()


def _inactive() -> Problem:
    return Problem("invalid_token", _DEAD, headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'})
