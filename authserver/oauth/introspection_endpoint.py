"""POST introspect (RFC 7662, RFC 9701): a resource server asks whether a token is active.

Checks run in this order: the request alone (``invalid_request``), the caller
(``invalid_client``), the presence of a token, then the token. An inactive token is not
an error; the reason goes to the log only. A response is true at the instant it is
given; resource servers should not cache it (RFC 7662 §4).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from authserver.actions.introspect import FOREIGN_TOKEN, NOT_RECORDED, UNKNOWN_TOKEN, Answer, introspect
from authserver.oauth.client_authentication import (
    RESOURCE_SERVER,
    NoCredentials,
    invalid_client,
    presented_credentials,
    unauthenticated,
)
from authserver.oauth.form import read_form
from authserver.oauth.http import NO_STORE, Request, Response, error_response
from authserver.oauth.parsed_requests import ParsedRequestCache, request_fingerprint
from authserver.oauth.throttle import FailedAttempt
from authserver.oauth.verified_tokens import PresentedToken, VerifiedTokens
from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import HotPathReads
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.presented_secret import MalformedSecret, PresentedSecret, presented_secret
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX

SignAnswer = Callable[[dict[str, Any], str], str]
"""Claims and algorithm -> the text of a signed answer."""


INACTIVE = b'{"active":false}'


SIGNED = "application/token-introspection+jwt"


_METHOD = re.compile(r"[A-Za-z-]{1,16}")


_MAX_ROUTE = 200


_PROBING = frozenset({UNKNOWN_TOKEN, FOREIGN_TOKEN, NOT_RECORDED})


CACHE_SIZE = 2_500
"""How many parsed requests a worker keeps, about 3 kB each; what is evicted costs a parse and a hash."""


@dataclass(frozen=True, slots=True, repr=False)
class IntrospectionRequest:
    """What one request asks, read from its bytes alone; ``token`` is None for what no token of ours can look like."""

    who: PresentedSecret
    token: PresentedToken | None
    method: str
    route: str


class IntrospectionEndpoint:
    """RFC 7662 §2; the signed form when ``Accept`` asks for it (RFC 9701 §4).

    APIs send the same bytes again for as long as a token is used. How such a request parses is
    cached under a hash of them; whether caller and token are good is judged each time.
    """

    def __init__(
        self,
        *,
        hot_path: HotPathReads,
        sessions: Sessions,
        usage: UsageRecorder,
        verified_tokens: VerifiedTokens,
        sign: SignAnswer,
        issuer: str,
        pepper: bytes,
    ) -> None:
        self._hot_path, self._sessions, self._usage = hot_path, sessions, usage
        self._verified_tokens, self._sign, self._issuer, self._pepper = verified_tokens, sign, issuer, pepper
        self._parsed_requests: ParsedRequestCache[IntrospectionRequest] = ParsedRequestCache(CACHE_SIZE)

    def __call__(self, request: Request) -> Response:
        """POST introspect."""
        mark = request_fingerprint(request)
        before = self._parsed_requests.get(mark)
        parsed = before or self._read(request)
        if isinstance(parsed, Response):
            return parsed
        try:
            answer = introspect(
                parsed.who,
                parsed.token,
                hot_path=self._hot_path,
                sessions=self._sessions,
                usage=self._usage,
                verify=lambda: parsed.token is not None and self._verified_tokens.verify(parsed.token),
                method=parsed.method,
                route=parsed.route,
                peer=request.peer,
            )
        except InvalidClient as error:
            if before is not None:
                self._read(request)  # so that a secret that was right once is refused no faster than any other (INV-29)
            return invalid_client(error.reason, parsed.who.client_id, RESOURCE_SERVER)
        if answer.idle_expires_at is not None and before is None:
            self._parsed_requests.keep(mark, parsed)
        return self._respond(answer, parsed.token, parsed.who.client_id, request.headers.get("accept", ""))

    def _read(self, request: Request) -> IntrospectionRequest | Response:
        form = read_form(request)
        try:
            who = presented_credentials(request, form)
            asking = presented_secret(who.client_id, who.secret, prefix=RESOURCE_SERVER_PREFIX, pepper=self._pepper)
        except NoCredentials as error:
            return unauthenticated(error)
        except MalformedSecret as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        text = form.get("token")
        if text is None:
            return self._without_token(asking)
        token = self._verified_tokens.parse(text)
        return IntrospectionRequest(
            asking, token, _method(form.get("http_method", "")), _route(form.get("http_route", ""))
        )

    def _without_token(self, who: PresentedSecret) -> Response:
        """Also here the caller is authenticated first."""
        try:
            introspect(who, None, hot_path=self._hot_path, sessions=self._sessions, usage=self._usage)
        except InvalidClient as error:
            return invalid_client(error.reason, who.client_id, RESOURCE_SERVER)
        return error_response("invalid_request", "token is missing.", log_fields={"client": who.client_id})

    def _respond(self, answer: Answer, token: PresentedToken | None, caller: str, accept: str) -> Response:
        until = answer.idle_expires_at
        log_fields = {"outcome": "inactive" if until is None else "active", "reason": answer.reason, "client": caller}
        failed_attempt = FailedAttempt("token", caller) if answer.reason in _PROBING else None
        if not (accept and wants_signed(accept)):
            body = INACTIVE if token is None or until is None else token.response(until)
            return Response(200, body, log_fields=log_fields, failed_attempt=failed_attempt)
        claims = {
            "iss": self._issuer,
            # RFC 9701 §5: it names the caller, by its audience as in the RFC's example and by the id it
            # authenticated with, which is what oauth4webapi and openid-client compare.
            "aud": [answer.audience, caller],
            "iat": answer.now,
            "token_introspection": {"active": False} if token is None or until is None else token.members(until),
        }
        return Response(200, self._sign(claims, answer.alg).encode(), SIGNED, NO_STORE, log_fields, failed_attempt)


def wants_signed(accept: str) -> bool:
    """Whether ``Accept`` prefers the signed answer (RFC 9110 §12.5.1); it must be named, a wildcard is not enough."""
    weights: dict[str, float] = {}
    for piece in accept.lower().split(","):
        media, *parameters = (part.strip() for part in piece.split(";"))
        weights[media] = _weight(parameters)
    signed = weights.get(SIGNED, 0.0)
    plain = weights.get("application/json", 0.0)
    return signed > 0 and signed >= plain


def _weight(parameters: list[str]) -> float:
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _method(text: str) -> str:
    return text.upper() if _METHOD.fullmatch(text) else ""


def _route(text: str) -> str:
    """A route is a pattern, not a URL: what follows ``?`` or ``#`` may be anybody's secret and is not kept."""
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    return "".join(char for char in path if char.isprintable())[:_MAX_ROUTE]
