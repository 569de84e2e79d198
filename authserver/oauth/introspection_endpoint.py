"""POST introspect (RFC 7662, RFC 9701): a resource server asks whether a token is active.

Checks run in this order: the request alone (``invalid_request``), the caller
(``invalid_client``), the presence of a token, then the token. An inactive token is not
an error; the reason goes to the log only. A response is true at the instant it is
given; a resource server may trust it for its lease (``rules/lease``), by default not at all (RFC 7662 §4).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from authserver.actions.introspect import FOREIGN_TOKEN, NEVER_RECORDED, UNKNOWN_TOKEN, Answer, introspect
from authserver.actions.preconditions.calling_resource_server import ProvenCaller, proven_caller
from authserver.actions.preconditions.client_assertion import AssertionContext, PresentedAssertion
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    NoCredentials,
    UnusableCredentials,
    invalid_client,
    presented_client,
    refused,
)
from authserver.oauth.form import read_form, without_token
from authserver.oauth.http import NO_STORE, Request, Response, dump, error_response
from authserver.oauth.parsed_requests import ParsedRequestCache, header_fingerprint
from authserver.oauth.throttle import FailedAttempt
from authserver.oauth.verified_tokens import PresentedToken, VerifiedTokens
from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.presented_secret import PresentedSecret
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX

SignAnswer = Callable[[dict[str, Any], str], str]
"""Claims and algorithm -> the text of a signed answer."""


INACTIVE = b'{"active":false}'


SIGNED = "application/token-introspection+jwt"


_METHOD = re.compile(r"[A-Za-z-]{1,16}")


_MAX_ROUTE = 200


_PROBING_REASONS = frozenset({UNKNOWN_TOKEN, FOREIGN_TOKEN, NEVER_RECORDED})


_CACHE_SIZE = 2048
"""How many kinds of calls a worker keeps, mostly one for each route of an API; one that was evicted is parsed again."""

_MAX_REST = 512
"""Bytes of what details depend on; what is longer is parsed each time, so that the cache stays small."""

_ACTIVE_HEADERS = (("Cache-Control", "private, max-age=0, no-store"), ("Pragma", "no-cache"))
"""An active answer without a lease: as one with a lease says it, and so that no cache keeps it."""

_BODY_CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion"})


class Details(NamedTuple):
    """What an introspection request says besides its token and its caller."""

    method: str
    route: str
    signed: bool
    """Whether the answer is to be signed."""


Caller = PresentedSecret | PresentedAssertion
"""Who a request says it is from; not judged."""


class IntrospectionEndpoint:
    """RFC 7662 §2; the signed form when ``Accept`` asks for it (RFC 9701 §4).

    A resource server sends the same request again and again, but for the token. What such a request says is cached
    in two parts: its details, and under a hash of the header its caller, whose secret is checked each time. Nothing
    of a token is cached. Who is refused finds the details as anybody does, so a refusal costs no more than an answer;
    the header is read anew for each refusal, also one that was right once, so all of them take the same time (INV-29).
    """

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        verified_tokens: VerifiedTokens,
        assertions: AssertionContext,
        sign: SignAnswer,
        issuer: str,
        pepper: bytes,
    ) -> None:
        self._assertions = assertions
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._verified_tokens, self._sign, self._issuer, self._pepper = verified_tokens, sign, issuer, pepper
        self._details: ParsedRequestCache[Details] = ParsedRequestCache(_CACHE_SIZE)
        self._callers: ParsedRequestCache[Caller] = ParsedRequestCache(_CACHE_SIZE)

    def __call__(self, request: Request) -> Response:
        """POST introspect."""
        get = request.headers.get
        apart, key, details = without_token(request.body), None, None
        if apart is not None:
            rest = (apart[1], get("content-type", ""), request.query, get("accept", ""))
            key = rest if sum(map(len, rest)) <= _MAX_REST else None
            details = self._details.get(key)
        form: Mapping[str, str] = {}
        if apart is not None and details is not None:
            text: str | None = apart[0]
        else:
            form = read_form(request)
            text, details = form.get("token"), _details(request, form)
        in_body = bool(form) and not _BODY_CREDENTIALS.isdisjoint(form)
        fingerprint = b"" if in_body else header_fingerprint(get("authorization", ""))
        known = self._callers.get(fingerprint)
        caller = known or self._presented(request, form)
        if isinstance(caller, Response):
            return caller
        token = self._verified_tokens.parse(text) if text is not None else None
        try:
            answer = introspect(
                self._proven(caller) if isinstance(caller, PresentedAssertion) else caller,
                token,
                hot_path=self._hot_path,
                sessions=self._sessions,
                usage=self._usage,
                verify=lambda: token is not None and self._verified_tokens.verify(token),
                method=details.method,
                route=details.route,
                peer=request.peer,
            )
        except InvalidClient as error:
            if known is not None:
                self._presented(request, form)  # a secret that was right once is refused no faster (INV-29)
            return invalid_client(error.reason, caller.client_id, RESOURCE_SERVER)
        if form and not in_body and key is not None:
            self._details.put(key, details)
        if known is None and not in_body:
            self._callers.put(fingerprint, caller)
        if text is None:
            return error_response("invalid_request", "token is missing.", log_fields={"client": caller.client_id})
        return self._respond(answer, token, caller.client_id, signed=details.signed)

    def _presented(self, request: Request, form: Mapping[str, str]) -> Caller | Response:
        try:
            return presented_client(request, form, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
        except (NoCredentials, UnusableCredentials) as error:
            return refused(error, RESOURCE_SERVER)

    def _proven(self, caller: PresentedAssertion) -> ProvenCaller:
        return proven_caller(caller, hot_path=self._hot_path, assertions=self._assertions)

    def _respond(self, answer: Answer, token: PresentedToken | None, caller: str, *, signed: bool) -> Response:
        idle_expires_at = answer.idle_expires_at
        log_fields = {
            "outcome": "inactive" if idle_expires_at is None else "active",
            "reason": answer.reason,
            "client": caller,
        }
        failed_attempt = FailedAttempt("token", caller) if answer.reason in _PROBING_REASONS else None
        members = None if token is None or idle_expires_at is None else token.members(idle_expires_at, answer.lease)
        headers = NO_STORE if idle_expires_at is None else _ACTIVE_HEADERS
        if answer.lease:
            log_fields["lease"] = str(answer.lease)
            headers = (("Cache-Control", f"private, max-age={answer.lease}"), ("Vary", "Accept, Authorization"))
        if not signed:
            body = INACTIVE if members is None else dump(members)
            return Response(200, body, "application/json", headers, log_fields, failed_attempt)
        claims = {
            "iss": self._issuer,
            # RFC 9701 §5: it names the caller, by its audience as in the RFC's example and by the id it
            # authenticated with, which is what oauth4webapi and openid-client compare.
            "aud": [answer.audience, caller],
            "iat": answer.now,
            "token_introspection": members or {"active": False},
        }
        return Response(200, self._sign(claims, answer.alg).encode(), SIGNED, headers, log_fields, failed_attempt)


def _details(request: Request, form: Mapping[str, str]) -> Details:
    accept = request.headers.get("accept", "")
    method, route = http_method(form.get("http_method", "")), http_route(form.get("http_route", ""))
    return Details(method, route, bool(accept) and wants_signed(accept))


def wants_signed(accept: str) -> bool:
    """Whether ``Accept`` prefers the signed answer (RFC 9110 §12.5.1); it must be named, a wildcard is not enough."""
    accepted, weights = accept.lower(), dict[str, float]()
    if SIGNED not in accepted:
        return False
    for piece in accepted.split(","):
        media, *parameters = (part.strip() for part in piece.split(";"))
        weights[media] = _quality(parameters)
    signed = weights.get(SIGNED, 0.0)
    plain = weights.get("application/json", 0.0)
    return signed > 0 and signed >= plain


def _quality(parameters: list[str]) -> float:
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def http_method(text: str) -> str:
    """The name of an HTTP method in upper case, or empty for what is none."""
    return text.upper() if _METHOD.fullmatch(text) else ""


def http_route(text: str) -> str:
    """A route is a pattern, not a URL: what follows ``?`` or ``#`` may be anybody's secret and is not kept."""
    path = text if "?" not in text and "#" not in text else re.split(r"[?#]", text, maxsplit=1)[0]
    return (path if path.isprintable() else "".join(char for char in path if char.isprintable()))[:_MAX_ROUTE]
