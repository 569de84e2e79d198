"""Sees every response of the machine endpoints: one log line, the metrics, and the security log."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from authserver.actions.security_log import SecurityLog
from authserver.oauth.http import Request, Response
from authserver.ports.console_reads.statistics import Measure
from authserver.ports.errors import Unavailable
from authserver.ports.general_settings import retention_seconds
from authserver.rules.facts import Instant
from authserver.store.engine.failures import kind_of
from authserver.store.factory import Store
from authserver.store.tokens.gauges import Counts, gauges
from authserver.telemetry.access_log import AccessLog
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
_LOG_SECONDS = 60.0
_REFUSED = frozenset({"invalid_client", "invalid_grant", "invalid_scope", "invalid_target"})


class ObservedRequest(NamedTuple):
    """One response, as it is queued on the request path; ``given`` is the caller's request id if valid, or empty."""

    at: float
    seconds: float
    kind: str
    method: str
    peer: str
    given: str
    status: int
    log_fields: Mapping[str, str]


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
        kind = _KINDS.get(request.path.lower(), "metadata")
        known = bool(given) and len(given) <= _MAX_REQUEST_ID and _REQUEST_ID_CHARS.issuperset(given)
        seconds = time.perf_counter() - began
        self._observed.append(
            ObservedRequest(
                self._log.now(),
                seconds,
                kind,
                request.method,
                request.peer,
                given if known else "",
                response.status,
                log_fields,
            )
        )
        if len(self._observed) > _MAX_BUFFERED:
            self.drain()  # the thread that does it is held up by its sink; nothing goes uncounted
        self._log.wake()
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
            while self._observed:
                self._record(self._observed.popleft())

    def _record(self, observed: ObservedRequest) -> None:
        log_fields = observed.log_fields
        outcome = log_fields.get("outcome", "")
        self.metrics.observe(observed.kind, observed.status, outcome, log_fields.get("reason", ""), observed.seconds)
        self._count(observed, outcome)
        if "lease" in log_fields:
            self.metrics.lease(observed.kind)
        line = {
            "event": "request",
            "request_id": observed.given or secrets.token_hex(8),
            "endpoint": observed.kind,
            "method": observed.method[:16],
            "status": observed.status,
            "ms": round(observed.seconds * 1000, 2),
            "peer": observed.peer,
        }
        for name in ("outcome", "reason", "client", "detail", "trace_id"):
            if log_fields.get(name):
                line[name] = log_fields[name]
        self._log.write(line, _level(observed.status, outcome), observed.at)

    def _count(self, observed: ObservedRequest, outcome: str) -> None:
        """Count for the charts of the security page."""
        measure = _CHARTED.get(observed.kind)
        count, at = self._store.statistics.count, int(observed.at)
        if measure is not None:
            count(measure, outcome, at)
        if outcome == "invalid_client":
            count(Measure.FAILURES, observed.log_fields.get("reason", ""), at)
            count(Measure.SOURCES, observed.peer, at)

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
