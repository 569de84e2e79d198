"""Introspects tokens at the server (RFC 7662), and mode "exact", which does so for each request."""

import base64
import math
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote_plus, urlencode

from resource_server.clocks import Clock, ServerTime
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.jose import strict_object
from resource_server.keys import max_age_of
from resource_server.network.backoff import CircuitBreaker
from resource_server.network.steps import Answer, Call, Steps, failed
from resource_server.settings import Settings
from resource_server.token import Token

_OK = 200


@dataclass(frozen=True, slots=True)
class Use:
    """One call to this API: the token, and which method and route were called (a pattern, not a URL)."""

    text: str
    digest: bytes
    token: Token
    method: str
    route: str


class Judge(Protocol):
    """What differs among the modes: how a verifier decides that a token has not ended.

    Attributes:
        generation: changes with everything that ends a token before the time that ``trusted`` named.
    """

    generation: int

    def judge(self, use: Use) -> Steps[str]:
        """Accept the use; returns the source of the decision: ``server``, ``lease``, ``feed`` or ``stale``.

        Raises:
            InvalidToken: the token is dead.
            Unavailable: it cannot be decided now.
        """

    def trusted(self, use: Use) -> float:
        """The elapsed time until which the last acceptance is valid, unless ``generation`` changes."""


def authorization(settings: Settings) -> str:
    """The HTTP Basic header of the resource server (RFC 6749 §2.3.1: both parts form-encoded)."""
    pair = ":".join(quote_plus(each) for each in settings.credentials)
    return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True)
class Active:
    """The server says that the token is active.

    Attributes:
        lease: for how many seconds that may be trusted, from before the request.
        asked: elapsed seconds just before the request.
        idle_left: seconds until it would idle out without another use; infinite where the server does not say.
    """

    lease: int
    requested_at: float
    idle_left: float


class Introspector:
    """A client of the introspection endpoint with the resource server's own credentials."""

    def __init__(self, settings: Settings, clock: Clock, events: Events, server_time: ServerTime) -> None:
        self._clock, self._events, self._time = clock, events, server_time
        self._breaker = CircuitBreaker(clock, probe=settings.timeout + 1)
        self._url = settings.endpoint("introspection_endpoint")
        self._headers = {
            "Authorization": authorization(settings),
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def ask(self, use: Use) -> Steps[Active]:
        """Introspect a token; an active answer counts as a use of it.

        Raises:
            InvalidToken: it is not active.
            Unavailable: there is no answer, or a wrong one.
        """
        form = {"token": use.text, "token_type_hint": "access_token"}
        if use.method:
            form["http_method"] = use.method
        if use.route:
            form["http_route"] = use.route
        if not self._breaker.try_enter():
            raise Unavailable("unreachable", "The server did not answer the last requests; it is spared for a moment.")
        requested_at = self._clock.elapsed()
        try:
            answer: Answer = yield Call("POST", self._url, self._headers, urlencode(form).encode())
            active = self._read(answer, use.token)
        except Unavailable as error:
            wait = 0.0 if error.reason == "http_401" else self._breaker.record_failure()
            self._events.emit("fetch_failed", what="introspection", reason=error.reason, retry_in=round(wait, 3))
            raise
        self._breaker.record_success()
        self._events.emit(
            "introspected", active=active is not None, seconds=round(self._clock.elapsed() - requested_at, 6)
        )
        if active is None:
            raise InvalidToken("inactive")
        lease, idles_out = active
        idle_left = math.inf if idles_out is None else idles_out - (self._time.now() or self._clock.wall())
        return Active(lease, requested_at, idle_left)

    def _read(self, answer: Answer, token: Token) -> tuple[int, int | None] | None:
        """Seconds of the lease, and when the token idles out; None when it is not active."""
        if answer.status != _OK:
            raise failed(answer, "The introspection")
        try:
            claims = strict_object(answer.body)
        except InvalidToken:
            raise Unavailable("bad_answer", "The introspection was answered with something else than JSON.") from None
        if claims.get("active") is False:
            return None
        matches = all(claims.get(name) == getattr(token, name) for name in ("jti", "sub", "client_id"))
        if claims.get("active") is not True or not matches:
            raise Unavailable("bad_answer", "The introspection was answered for another token, or without a verdict.")
        idle = claims.get("idle_expires_at")
        return _lease(claims.get("lease_seconds", 0), answer.headers), idle if isinstance(idle, int) else None


def _lease(seconds: object, headers: dict[str, str]) -> int:
    """The member ``lease_seconds``, bounded by what HTTP caching allows."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        return 0
    return min(seconds, max_age_of(headers, seconds))


class Exact:
    """Introspects for each request; never trusts an answer for a later one."""

    generation = 0

    def __init__(self, introspector: Introspector) -> None:
        self._introspector = introspector

    def judge(self, use: Use) -> Steps[str]:
        """Ask the server."""
        yield from self._introspector.ask(use)
        return "server"

    def trusted(self, _use: Use) -> float:
        """Never."""
        return 0.0
