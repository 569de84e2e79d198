"""GET or POST forward-auth: a gateway asks whether it may pass a call on, before it does.

The gateway sends the ``Authorization: Bearer`` header of the call (RFC 6750 §2.1), its own id and secret as HTTP Basic
in ``X-Gateway-Authorization``, and in the query, from its configuration, ``role`` for each role that is needed and
``route``, the pattern of what is called. ``X-Forwarded-Method`` names the method of the call. The answer is 204 with
``X-Auth-Subject``, ``X-Auth-Client`` and ``X-Auth-Roles``; 401 with a challenge (RFC 6750 §3); or 403
``insufficient_scope``. It counts as a use of the token, as an introspection does.
"""

from typing import Any
from urllib.parse import parse_qsl

from authserver.actions.introspect import Answer, introspect
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    NoCredentials,
    invalid_client,
    presented_credentials,
    unauthenticated,
)
from authserver.oauth.http import NO_STORE, BadRequest, Request, Response, dump
from authserver.oauth.introspection_endpoint import http_method, http_route
from authserver.oauth.verified_tokens import PresentedToken, VerifiedTokens
from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.names import role_name_fault
from authserver.rules.presented_secret import MalformedSecret, presented_secret
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX

_GATEWAY = "x-gateway-authorization"
_MOST_PARAMETERS = 50


class ForwardAuthEndpoint:
    """Answers gateways; the caller is the resource server that the gateway stands before."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        verified_tokens: VerifiedTokens,
        pepper: bytes,
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._verified_tokens, self._pepper = verified_tokens, pepper

    def __call__(self, request: Request) -> Response:
        """Any method; the body is not read."""
        roles, route = _query(request.query)
        try:
            who = presented_credentials(request, {}, _GATEWAY)
            caller = presented_secret(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
        except NoCredentials as error:
            return unauthenticated(error)
        except MalformedSecret as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer"
        token = self._verified_tokens.parse(text.strip(" ")) if bearer else None
        try:
            answer = introspect(
                caller,
                token,
                hot_path=self._hot_path,
                sessions=self._sessions,
                usage=self._usage,
                verify=lambda: token is not None and self._verified_tokens.verify(token),
                method=http_method(request.headers.get("x-forwarded-method", "")),
                route=route,
                peer=request.peer,
            )
        except InvalidClient as error:
            return invalid_client(error.reason, caller.client_id, RESOURCE_SERVER)
        if not bearer:
            fields = {"outcome": "inactive", "reason": "no_token", "client": caller.client_id}
            return _challenge(401, "", "", fields)
        return _respond(answer, token, roles, caller.client_id)


def _respond(answer: Answer, token: PresentedToken | None, roles: frozenset[str], caller: str) -> Response:
    log_fields = {"outcome": "active", "reason": answer.reason, "client": caller}
    if token is None or answer.idle_expires_at is None:
        # No failed attempt: who sends bad tokens is a caller of the gateway, which must get its 401.
        fields = {**log_fields, "outcome": "inactive"}
        return _challenge(401, "invalid_token", "The token is not active.", fields)
    told = token.members(answer.idle_expires_at, answer.lease)
    if not roles <= set(told["roles"]):
        fields = {**log_fields, "outcome": "insufficient_scope"}
        return _challenge(403, "insufficient_scope", "A role is missing.", fields, scope=" ".join(sorted(roles)))
    if answer.lease:
        log_fields["lease"] = str(answer.lease)
    return Response(204, headers=(*_passed(told), *_freshness(answer.lease)), log_fields=log_fields)


def _passed(told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("X-Auth-Subject", told["sub"]),
        ("X-Auth-Client", told["client_id"]),
        ("X-Auth-Roles", " ".join(told["roles"])),
    )


def _freshness(lease: int) -> tuple[tuple[str, str], ...]:
    """For how long a gateway may keep the answer; nginx goes by ``X-Accel-Expires`` and keeps nothing private."""
    if not lease:
        return (*NO_STORE, ("X-Accel-Expires", "0"))
    return (("Cache-Control", f"private, max-age={lease}"), ("X-Accel-Expires", str(lease)))


def _challenge(status: int, code: str, text: str, log_fields: dict[str, str], *, scope: str = "") -> Response:
    """RFC 6750 §3: without a token the challenge names no error."""
    parts = ['Bearer realm="api"']
    if code:
        parts += [f'error="{code}"', f'error_description="{text}"']
    if scope:
        parts.append(f'scope="{scope}"')
    body = dump({"error": code, "error_description": text} if code else {})
    headers = (*NO_STORE, ("WWW-Authenticate", ", ".join(parts)), ("X-Accel-Expires", "0"))
    return Response(status, body, headers=headers, log_fields=log_fields)


def _query(text: str) -> tuple[frozenset[str], str]:
    """The needed roles, and the route.

    Raises:
        BadRequest: an unknown parameter, the route twice, or what is no role.
    """
    roles: set[str] = set()
    routes: list[str] = []
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        msg = "The query cannot be read; send role and route."
        raise BadRequest(msg) from error
    for name, value in pairs:
        if name == "role" and not role_name_fault(value):
            roles.add(value)
        elif name == "route" and not routes:
            routes.append(value)
        else:
            msg = "Send role, for each role that is needed, and route once; nothing else."
            raise BadRequest(msg)
    return frozenset(roles), http_route(routes[0]) if routes else ""
