"""GET or POST forward-auth: a gateway asks before it forwards a request.

The gateway sends the ``Authorization: Bearer`` header of the request (RFC 6750 §2.1), its own id and secret as HTTP
Basic in ``X-Gateway-Authorization`` (or there, as ``Bearer``, an assertion that it signed), and in the query, from its
configuration, ``role`` for each role that is needed and ``route``, the pattern of the path. ``X-Forwarded-Method``
names the method of the request. The response is 204 with ``X-Auth-Subject``, ``X-Auth-Client`` and ``X-Auth-Roles``;
401 with a challenge (RFC 6750 §3); or 403 ``insufficient_scope``. It counts as a use of the token, as an introspection
does.

A token that is bound to a key (RFC 9449) must come as ``Authorization: DPoP`` with a proof of that key in ``DPoP``; the
gateway says in ``X-Forwarded-Proto``, ``X-Forwarded-Host`` and ``X-Forwarded-Uri`` which URL was requested. A request
without a valid proof is refused and counts as no use, so a copied token cannot even be kept alive. The response for a
bound token is never cached, since each request needs a proof of its own. Where nonces are asked for (RFC 9449 §9), the
gateway hands the ``DPoP-Nonce`` of a 401 on.

A token that is bound to a certificate (RFC 8705 §3) needs that certificate: ``client_cert`` in the query names the
header in which the gateway writes the one of the TLS connection. It stands in the configuration of the gateway, so that
no client decides it: certificates are public, and in a header that the gateway does not write anybody could send one.
"""

import hmac
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from authserver.actions.introspect import Answer, introspect
from authserver.actions.preconditions.calling_resource_server import proven
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.actions.preconditions.dpop_proof import presented_proof, require_proof
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    invalid_client,
    presented_resource_server,
)
from authserver.oauth.http import NO_STORE, BadRequest, Request, Response, dump
from authserver.oauth.introspection_endpoint import http_method, http_route
from authserver.oauth.proxies.client_certificate import MalformedCertificate, certificate_of
from authserver.oauth.verified_tokens import PresentedToken, VerifiedTokens
from authserver.ports.errors import InvalidClient, InvalidDpopProof, UseDpopNonce
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.client_authentication.nonce import Nonces
from authserver.rules.client_authentication.proof import target_uri, token_hash_of
from authserver.rules.facts import Instant
from authserver.rules.names import role_name_fault
from keys.public_keys import ALGORITHMS

_BINDING = "token_binding"
"""The reason for a bound token that came as a bearer token, or the other way round."""

_GATEWAY_HEADER = "x-gateway-authorization"
_MAX_PARAMETERS = 50
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class BindingFailed(Exception):
    """A token that is bound to a certificate came without it; ``reason`` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Wanted(NamedTuple):
    """What a gateway asks for: the needed roles, the route, and the header with the client's certificate, if any."""

    roles: frozenset[str]
    route: str
    certificate_header: str


class ForwardAuthEndpoint:
    """Answers gateways; the caller is the resource server that the gateway stands before."""

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        verified_tokens: VerifiedTokens,
        assertions: AssertionContext,
        pepper: bytes,
        nonces: Nonces | None = None,
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._verified_tokens, self._assertions, self._pepper = verified_tokens, assertions, pepper
        self._nonces = nonces

    def __call__(self, request: Request) -> Response:
        """Any method; the body is not read."""
        wanted = _query(request.query)
        caller = presented_resource_server(request, self._pepper, _GATEWAY_HEADER)
        if isinstance(caller, Response):
            return caller
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        presented = scheme.lower() in {"bearer", "dpop"}
        token = self._verified_tokens.parse(text.strip(" ")) if presented else None
        try:
            answer = introspect(
                proven(caller, hot_path=self._hot_path, assertions=self._assertions),
                token,
                hot_path=self._hot_path,
                sessions=self._sessions,
                usage=self._usage,
                verify=lambda: token is not None and self._verified_tokens.verify(token),
                before_use=lambda now: self._check_binding(request, wanted, scheme.lower(), token, now),
                method=http_method(request.headers.get("x-forwarded-method", "")),
                route=wanted.route,
                peer=request.peer,
            )
        except InvalidClient as error:
            return invalid_client(error.reason, caller.client_id, RESOURCE_SERVER)
        except InvalidDpopProof as error:
            fields = {"outcome": "inactive", "reason": error.reason, "client": caller.client_id}
            code = "invalid_token" if error.reason == _BINDING else error.code
            nonce = error.nonce if isinstance(error, UseDpopNonce) else ""
            return _challenge(401, code, "The token needs a good DPoP proof.", fields, scheme="DPoP", nonce=nonce)
        except BindingFailed as error:
            fields = {"outcome": "inactive", "reason": error.reason, "client": caller.client_id}
            return _challenge(401, "invalid_token", "The token needs the certificate that it is bound to.", fields)
        if not presented:
            fields = {"outcome": "inactive", "reason": "no_token", "client": caller.client_id}
            return _challenge(401, "", "", fields)
        return _respond(answer, token, wanted.roles, caller.client_id)

    def _check_binding(
        self, request: Request, wanted: Wanted, scheme: str, token: PresentedToken | None, now: Instant
    ) -> None:
        """RFC 9449 §7.1, §7.2: a token bound to a key comes with a proof of it, and never as a bearer token.

        Raises:
            InvalidDpopProof: the scheme does not fit the token, or the proof is not valid.
            BindingFailed: it is bound to a certificate (RFC 8705 §3) that it did not come with.
        """
        jkt = token.jkt if token is not None else ""
        if token is None or (scheme == "dpop") != bool(jkt):
            raise InvalidDpopProof(_BINDING)
        if token.x5t:
            _check_certificate(request, wanted.certificate_header, token.x5t)
        if not jkt:
            return
        proof = presented_proof(request.headers.get("dpop", ""))
        if not hmac.compare_digest(proof.jkt, jkt):
            raise InvalidDpopProof("proof_key")
        proto, host, uri = (request.headers.get(f"x-forwarded-{name}", "") for name in ("proto", "host", "uri"))
        require_proof(
            proof,
            method=request.headers.get("x-forwarded-method", ""),
            uris=frozenset({target_uri(f"{proto}://{host}{uri}")} - {""}),
            now=now,
            one_time_ids=self._assertions.one_time_ids,
            token_hash=token_hash_of(token.text),
            nonces=self._nonces,
        )


def _check_certificate(request: Request, header_name: str, x5t: str) -> None:
    text = request.headers.get(header_name.lower(), "") if header_name else ""
    if not text:
        raise BindingFailed("no_certificate")
    try:
        certificate = certificate_of(text)
    except MalformedCertificate as error:
        raise BindingFailed("malformed_certificate") from error
    if not hmac.compare_digest(certificate.thumbprint, x5t):
        raise BindingFailed("other_certificate")


def _respond(answer: Answer, token: PresentedToken | None, roles: frozenset[str], caller: str) -> Response:
    log_fields = {"outcome": "active", "reason": answer.reason, "client": caller}
    if token is None or answer.idle_expires_at is None:
        # Not counted as a failed attempt: the client of the gateway sent the bad token, and the gateway needs the 401.
        fields = {**log_fields, "outcome": "inactive"}
        return _challenge(401, "invalid_token", "The token is not active.", fields)
    members = token.members(answer.idle_expires_at, answer.lease)
    if not roles <= set(members["roles"]):
        fields = {**log_fields, "outcome": "insufficient_scope"}
        return _challenge(403, "insufficient_scope", "A role is missing.", fields, scope=" ".join(sorted(roles)))
    lease = 0 if token.jkt or token.x5t else answer.lease
    if lease:
        log_fields["lease"] = str(lease)
    return Response(204, headers=(*_identity_headers(members), *_cache_headers(lease)), log_fields=log_fields)


def _identity_headers(members: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("X-Auth-Subject", members["sub"]),
        ("X-Auth-Client", members["client_id"]),
        ("X-Auth-Roles", " ".join(members["roles"])),
    )


def _cache_headers(lease: int) -> tuple[tuple[str, str], ...]:
    """For how long a gateway may cache the response; nginx obeys ``X-Accel-Expires`` and caches nothing private."""
    if not lease:
        return (*NO_STORE, ("X-Accel-Expires", "0"))
    return (("Cache-Control", f"private, max-age={lease}"), ("X-Accel-Expires", str(lease)))


def _challenge(
    status: int,
    code: str,
    text: str,
    log_fields: dict[str, str],
    *,
    scope: str = "",
    scheme: str = "Bearer",
    nonce: str = "",
) -> Response:
    """RFC 6750 §3: without a token the challenge names no error. RFC 9449 §7.1: a DPoP challenge names algorithms.

    The ``nonce`` is the one that the proof must have (RFC 9449 §9).
    """
    parts = [f'{scheme} realm="api"']
    if scheme == "DPoP":
        parts.append(f'algs="{" ".join(ALGORITHMS)}"')
    if code:
        parts += [f'error="{code}"', f'error_description="{text}"']
    if scope:
        parts.append(f'scope="{scope}"')
    body = dump({"error": code, "error_description": text} if code else {})
    headers = [*NO_STORE, ("WWW-Authenticate", ", ".join(parts)), ("X-Accel-Expires", "0")]
    if nonce:
        headers.append(("DPoP-Nonce", nonce))
    return Response(status, body, headers=tuple(headers), log_fields=log_fields)


def _query(text: str) -> Wanted:
    """What the gateway asks for.

    Raises:
        BadRequest: an unknown parameter, one but a role twice, or a value that is no role name or header name.
    """
    roles: set[str] = set()
    once: dict[str, str] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        msg = "The query cannot be read; send role, route and client_cert."
        raise BadRequest(msg) from error
    for name, value in pairs:
        if name == "role" and not role_name_fault(value):
            roles.add(value)
        elif name not in once and (name == "route" or (name == "client_cert" and _HEADER_NAME.fullmatch(value))):
            once[name] = value
        else:
            msg = "Send role, for each role that is needed, route once, and client_cert once; nothing else."
            raise BadRequest(msg)
    return Wanted(frozenset(roles), http_route(once.get("route", "")), once.get("client_cert", ""))
