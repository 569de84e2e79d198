"""Sees every answer of the machine doors: one log line, the metrics, and the book of refusals."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from authserver.actions.refusals import RefusalBook
from authserver.oauth.request import Ask, Reply
from authserver.ports import Unavailable
from authserver.rules.facts import Instant
from authserver.store.census import Counts, census
from authserver.store.opening import Store
from authserver.telemetry.logs import logger
from authserver.telemetry.requests import RequestLog

VERSION = "0.1.0"
_KINDS = {
    "/oauth/token": "token",
    "/auth/oauth/token": "token",
    "/oauth/introspect": "introspection",
    "/oauth/revoke": "revocation",
    "/.well-known/jwks.json": "jwks",
    "/.well-known/jwks-pq.json": "jwks",
}
_REQUEST_ID_CHARS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.:")
_MAX_REQUEST_ID = 128
_MOST_SEEN = 10_000
_REFUSED = frozenset({"invalid_client", "invalid_grant", "invalid_scope", "invalid_target"})


class Seen(NamedTuple):
    """One answer, as it is noted on the request path; ``given`` is a good request id the caller sent, or empty."""

    at: float
    seconds: float
    kind: str
    method: str
    peer: str
    given: str
    status: int
    note: Mapping[str, str]


class Observer:
    """Sees every answer of the machine doors: one log line, the metrics, and the book of refusals.

    A request only leaves a note. Lines and metrics are made of the notes five times a second, all
    at once, which costs a fraction of making them one by one between two signatures.
    """

    def __init__(self, store: Store, now: Callable[[], Instant], log: RequestLog) -> None:
        # Imported here because the library reads its environment at import, and the server sets it first.
        from authserver.telemetry.metrics import Metrics  # noqa: PLC0415

        self._store, self._now = store, now
        self._counted: tuple[float, Counts] | None = None
        self.metrics = Metrics(self._census)
        self._seen: deque[Seen] = deque()
        self._settling = threading.Lock()
        self._log = log
        self._log.before_writing(self.settle)
        self._book = RefusalBook(store.accounts, now)

    def saw(self, ask: Ask, reply: Reply, began: float) -> Reply:
        """Note one answer; the reply, with the caller's request id where it sent a good one."""
        given, note = ask.headers.get("x-request-id", ""), reply.note
        kind = _KINDS.get(ask.path.lower(), "metadata")
        known = bool(given) and len(given) <= _MAX_REQUEST_ID and _REQUEST_ID_CHARS.issuperset(given)
        seconds = time.perf_counter() - began
        self._seen.append(
            Seen(self._log.now(), seconds, kind, ask.method, ask.peer, given if known else "", reply.status, note)
        )
        if len(self._seen) > _MOST_SEEN:
            self.settle()  # the thread that does it is held up by its sink; nothing goes uncounted
        self._log.wake()
        outcome = note.get("outcome", "")
        if outcome in _REFUSED:
            self._book.note(
                kind,
                note.get("reason", ""),
                client=note.get("client", ""),
                peer=ask.peer,
                minute=int(time.monotonic()) // 60,
            )
        if not known:
            return reply
        headers = (*reply.headers, ("X-Request-Id", given))
        return Reply(reply.status, reply.body, reply.content_type, headers, note)

    def settle(self) -> None:
        """Make lines and numbers of what was seen."""
        with self._settling:
            while self._seen:
                self._tell(self._seen.popleft())

    def _tell(self, seen: Seen) -> None:
        note = seen.note
        outcome = note.get("outcome", "")
        self.metrics.observe(seen.kind, seen.status, outcome, note.get("reason", ""), seen.seconds)
        line = {
            "event": "request",
            "request_id": seen.given or secrets.token_hex(8),
            "door": seen.kind,
            "method": seen.method[:16],
            "status": seen.status,
            "ms": round(seen.seconds * 1000, 2),
            "peer": seen.peer,
        }
        for name in ("outcome", "reason", "client", "detail"):
            if note.get(name):
                line[name] = note[name]
        self._log.write(line, _level(seen.status, outcome), seen.at)

    def exposition(self) -> bytes:
        """The text Prometheus reads, with all that was seen until now."""
        self.settle()
        return self.metrics.exposition()

    def _census(self) -> Counts:
        if self._counted is None or time.monotonic() - self._counted[0] > 10:  # noqa: PLR2004 - seconds between counts
            counts: Counts = {"oauth_build_info": {(VERSION,): 1.0}}
            try:
                counts |= census(self._store.engine, self._now())
            except Unavailable as error:
                logger().warning("census_failed", reason=str(error))
            self._counted = (time.monotonic(), counts)
        return self._counted[1]

    def close(self) -> None:
        """Write what is pending."""
        self._book.close()
        self._log.close()


def _level(status: int, outcome: str) -> str:
    """What an operator who wants less to read still sees: faults, and refusals, which are the security log."""
    if status >= 500:  # noqa: PLR2004 - RFC 9110 §15.6
        return "error"
    return "warning" if outcome in _REFUSED or outcome == "throttled" else "info"
