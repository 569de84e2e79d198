"""Sees every response of the machine endpoints: one log line, the metrics, and the security log."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from authserver.actions.security_log import SecurityLog
from authserver.oauth.http import Request, Response
from authserver.ports.console_reads.statistics import Measure
from authserver.ports.errors import Unavailable
from authserver.ports.general_settings import retention_seconds
from authserver.rules.facts import Instant
from authserver.store.engine.failures import kind_of
from authserver.store.factory import Store
from authserver.store.tokens.gauges import Counts, gauges
from authserver.telemetry.access_log import AccessLog, RequestFacts, RequestLine
from authserver.telemetry.logs import logger

VERSION = "0.1.0"
_KINDS = {
    "/oauth/token": "token",
    "/auth/oauth/token": "token",
    "/oauth/introspect": "introspection",
    "/oauth/revoke": "revocation",
    "/oauth/usage": "usage",
    "/leaks": "leaks",
    "/oauth/changes": "changes",
    "/oauth/forward-auth": "forward_auth",
    "/oauth/authorize": "authorization",
    "/ssf/streams": "shared_signals",
    "/ssf/status": "shared_signals",
    "/ssf/subjects/add": "shared_signals",
    "/ssf/subjects/remove": "shared_signals",
    "/ssf/verify": "shared_signals",
    "/ssf/poll": "shared_signals",
    "/.well-known/ssf-configuration": "shared_signals",
    "/.well-known/jwks.json": "jwks",
    "/.well-known/jwks-pq.json": "jwks",
}
_CHARTED = {"token": Measure.TOKEN_REQUESTS, "introspection": Measure.INTROSPECTIONS}
_REQUEST_ID_CHARS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.:")
_MAX_REQUEST_ID = 128
_MAX_BUFFERED = 10_000
_WAKE_MASK = 0xFF
"""Whether the thread that writes still lives is looked at with the first of so many requests that wait for it."""
_LOG_SECONDS = 60.0
_REFUSED = frozenset({"invalid_client", "invalid_grant", "invalid_scope", "invalid_target"})


ObservedRequest = tuple[float, float, str, str, str, str, int, Mapping[str, str]]
"""One response, as it is queued on the request path: when, seconds, kind of endpoint, method, peer, the caller's
request id where that is valid, else empty, status, and log fields. A plain tuple, the cheapest there is.
"""

_ID_BYTES = 8


class UnrecordedUsage:
    """Says why sessions and uses cannot be recorded: counted each time, logged at once and then once a minute."""

    def __init__(self, count: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take what counts a failure by its kind, and a clock in seconds that never goes back."""
        self._count, self._monotonic = count, monotonic
        self._since: float | None = None
        self._logged = 0.0

    def __call__(self, reason: str) -> None:
        """A batch could not be written; with an empty reason: it was written in the end."""
        now = self._monotonic()
        if not reason:
            seconds = round(now - (self._since if self._since is not None else now), 1)
            logger().info("usage_is_recorded_again", seconds=seconds)
            self._since = None
            return
        self._count(kind_of(reason))
        if self._since is None or now - self._logged >= _LOG_SECONDS:
            logger().error("usage_cannot_be_recorded", reason=reason)
            self._logged = now
        self._since = now if self._since is None else self._since


class Instrumentation:
    """Sees every response of the machine endpoints: one log line, the metrics, and the security log.

    A request only appends to a queue. Lines and metrics are made from the queue five times a second, all
    at once, which costs a fraction of making them one by one between two signatures.
    """

    def __init__(self, store: Store, now: Callable[[], Instant], log: AccessLog) -> None:
        # Imported here because the library reads its environment at import, and the server sets it first.
        from authserver.telemetry.metrics import Metrics  # noqa: PLC0415

        self._store, self._now = store, now
        self._counted: tuple[float, Counts] | None = None
        self.metrics = Metrics(self.gauges)
        self._observed: deque[ObservedRequest] = deque()
        self._draining = threading.Lock()
        self._log = log
        self._log.before_writing(self.drain)
        self._security_log = SecurityLog(store.accounts, now)

    def observe(self, request: Request, response: Response, began: float) -> Response:
        """Queue one response; returns it, with the caller's request id where that is valid."""
        given, log_fields = request.headers.get("x-request-id", ""), response.log_fields
        kind = _KINDS.get(request.path) or _KINDS.get(request.path.lower(), "metadata")
        known = bool(given) and len(given) <= _MAX_REQUEST_ID and _REQUEST_ID_CHARS.issuperset(given)
        observed, now = self._observed, time.perf_counter()
        observed.append(
            (
                self._log.now(),
                now - began,
                kind,
                request.method,
                request.peer,
                given if known else "",
                response.status,
                log_fields,
            )
        )
        waiting = len(observed)
        if waiting & _WAKE_MASK == 1:
            self._log.wake()
        if waiting > _MAX_BUFFERED:
            self.drain()  # the thread that does it is held up by its sink; nothing goes uncounted
        outcome = log_fields.get("outcome", "")
        if outcome in _REFUSED:
            self._security_log.record(
                kind,
                log_fields.get("reason", ""),
                client=log_fields.get("client", ""),
                peer=request.peer,
                minute=int(time.monotonic()) // 60,
            )
        if not known:
            return response
        headers = (*response.headers, ("X-Request-Id", given))
        return Response(response.status, response.body, response.content_type, headers, log_fields)

    def drain(self) -> None:
        """Make lines and numbers of what was observed."""
        with self._draining:
            batch: list[ObservedRequest] = []
            while self._observed:
                batch.append(self._observed.popleft())
            if batch:
                self._count(batch)
                self._write_lines(batch)

    def _count(self, batch: list[ObservedRequest]) -> None:
        alike: dict[tuple[str, int, str, str], list[float]] = {}
        for at, seconds, kind, _, peer, _, status, log_fields in batch:
            outcome = log_fields.get("outcome", "")
            self._chart(int(at), kind, outcome, peer, log_fields)
            key = (kind, status, outcome, log_fields.get("reason", ""))
            durations = alike.get(key)
            if durations is None:
                alike[key] = [seconds]
            else:
                durations.append(seconds)
            if "lease" in log_fields:
                self.metrics.lease(kind)
        for (kind, status, outcome, reason), durations in alike.items():
            self.metrics.observe(kind, status, outcome, reason, *durations)

    def _write_lines(self, batch: list[ObservedRequest]) -> None:
        ids, digits = os.urandom(_ID_BYTES * len(batch)).hex(), 2 * _ID_BYTES
        lines = []
        for number, (at, seconds, kind, method, peer, given, status, log_fields) in enumerate(batch):
            field = log_fields.get
            outcome = field("outcome", "")
            facts = RequestFacts(
                kind,
                method[:16],
                status,
                peer,
                outcome,
                field("reason", ""),
                field("client", ""),
                field("detail", ""),
                field("trace_id", ""),
            )
            fresh = ids[number * digits : (number + 1) * digits]
            lines.append(RequestLine(at, _level(status, outcome), given, fresh, seconds, facts))
        self._log.write_requests(lines)

    def _chart(self, at: int, kind: str, outcome: str, peer: str, log_fields: Mapping[str, str]) -> None:
        """Count for the charts of the security page."""
        measure = _CHARTED.get(kind)
        count = self._store.statistics.count
        if measure is not None:
            count(measure, outcome, at)
        if outcome == "invalid_client":
            count(Measure.FAILURES, log_fields.get("reason", ""), at)
            count(Measure.SOURCES, peer, at)

    def exposition(self) -> bytes:
        """The text Prometheus reads, with all that was observed until now."""
        self.drain()
        return self.metrics.exposition()

    def gauges(self) -> Counts:
        """What the database counts; asked every ten seconds at most."""
        if self._counted is None or time.monotonic() - self._counted[0] > 10:  # noqa: PLR2004 - seconds between counts
            counts: Counts = {"oauth_build_info": {(VERSION,): 1.0}}
            try:
                now, days = self._now(), self._store.accounts.general().session_retention_days
                counts |= gauges(self._store.engine, self._store.sessions.backlog(now, retention_seconds(days)), now)
            except Unavailable as error:
                logger().warning("gauges_failed", reason=str(error))
            self._counted = (time.monotonic(), counts)
        return self._counted[1]

    def close(self) -> None:
        """Write what is pending."""
        self._security_log.close()
        self._log.close()


def _level(status: int, outcome: str) -> str:
    """What an operator who wants less to read still sees: faults, and refusals, which are the security log."""
    if status >= 500:  # noqa: PLR2004 - RFC 9110 §15.6
        return "error"
    return "warning" if outcome in _REFUSED or outcome == "throttled" else "info"
