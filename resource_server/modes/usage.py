"""Reports the uses of tokens that were judged locally, in batches to ``POST /oauth/usage``.

Use is what keeps a token alive, so uses that were judged locally must reach the server. Uses of one token by one
method and route are added up. A report that got no answer is sent again, byte for byte with the same id, so that the
server counts it once.
"""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from resource_server.clocks import Clock, ServerTime
from resource_server.errors import InvalidToken, Unavailable
from resource_server.events import Events
from resource_server.jose import strict_object
from resource_server.modes.introspection import Use, authorization
from resource_server.network.backoff import Backoff
from resource_server.network.steps import Answer, Call, SingleFlight, Steps, failed
from resource_server.settings import Settings

MAX_USES = 10_000
_MAX_PENDING = 100_000
_OK = 200
_TOO_LARGE = 413
_NOT_RETRIED = frozenset({400, 409, _TOO_LARGE, 422})
_MAX_BODY = 3_000_000
"""Bytes; the server takes 4 MB. A report is cut before, however few uses it has then."""

_SMALL_BODY = 60_000
"""Bytes; what every server takes, and every proxy before one should. Used from the first 413 on."""

Key = tuple[str, str, str]


@dataclass(slots=True)
class _Report:
    id: str
    uses: dict[Key, list[int]]
    body: bytes = field(repr=False)


class UsageReports:
    """Buffers uses and reports them.

    Attributes:
        confirmed: is called with ``jti`` and instant of each use that the server took.
        dead: is called with each ``jti`` that the server says is dead.
    """

    def __init__(self, settings: Settings, clock: Clock, events: Events, server_time: ServerTime) -> None:
        self._clock, self._events, self._time = clock, events, server_time
        self.confirmed: Callable[[str, int], None] = lambda _jti, _at: None
        self.dead: Callable[[str], None] = lambda _jti: None
        self._url = settings.endpoint("usage_endpoint")
        self._headers = {"Authorization": authorization(settings), "Content-Type": "application/json"}
        self._lock = threading.Lock()
        self._pending: dict[Key, list[int]] = {}
        self._unanswered: _Report | None = None
        self._flights = SingleFlight()
        self._max_bytes = _MAX_BODY
        self.backoff = Backoff(clock)

    def record(self, use: Use) -> None:
        """Buffer a use of a token, now, that was judged locally."""
        # The server refuses instants in its future, and its clock is the one that counts.
        at = max(int(self._time.now() or self._clock.wall()), use.token.issued_at)
        self.record_at((use.token.jti, use.method, use.route), at)

    def record_at(self, key: Key, at: int) -> None:
        """The same with the instant, for callers that have it already."""
        with self._lock:
            known = self._pending.get(key)
            if known is not None:
                if at > known[0]:  # noqa: PLR1730 - half of what max() costs, for each call
                    known[0] = at
                known[1] += 1
                return
            if len(self._pending) < _MAX_PENDING:
                self._pending[key] = [at, 1]
                return
        self._events.emit("report_dropped", uses=1, reason="full")

    @property
    def waiting(self) -> int:
        """How many uses the server has not accepted yet (those of one token, method and route count once)."""
        unanswered = self._unanswered
        return len(self._pending) + (len(unanswered.uses) if unanswered else 0)

    def flush(self) -> Steps[None]:
        """Report all buffered uses.

        Raises:
            Unavailable: a report got no answer; it is kept.
        """
        yield from self._flights.run("flush", self._flush)

    def _flush(self) -> Steps[None]:
        while (report := self._unanswered or self._next_report()) is not None:
            self._unanswered = report
            try:
                answer: Answer = yield Call("POST", self._url, self._headers, report.body)
                if answer.status != _OK and answer.status not in _NOT_RETRIED:
                    raise failed(answer, "The usage report")
            except Unavailable as error:
                wait = self.backoff.fail(error.retry_after if error.reason.startswith("http_") else 0)
                self._events.emit("fetch_failed", what="usage", reason=error.reason, retry_in=round(wait, 3))
                raise
            self._unanswered = None
            self.backoff.succeed()
            if answer.status == _TOO_LARGE and len(report.body) > _SMALL_BODY:
                self._requeue(report)
            elif answer.status == _OK:
                self._confirm(report, answer)
            else:
                self._events.emit("report_dropped", uses=len(report.uses), reason=f"http_{answer.status}")

    def _requeue(self, report: _Report) -> None:
        """Put the uses of a report that was too large back into the buffer; the next reports are smaller."""
        self._max_bytes = _SMALL_BODY
        with self._lock:
            for key, (at, times) in report.uses.items():
                pending = self._pending.get(key)
                if pending is None:
                    self._pending[key] = [at, times]
                else:
                    pending[0], pending[1] = max(pending[0], at), pending[1] + times

    def _next_report(self) -> _Report | None:
        with self._lock:
            if not self._pending:
                return None
            uses: dict[Key, list[int]] = {}
            parts: list[str] = []
            size = 0
            for key in list(self._pending):
                part = _use_json(key, self._pending[key])
                size += len(part) + 1
                if parts and (size > self._max_bytes or len(parts) >= MAX_USES):
                    break
                parts.append(part)
                uses[key] = self._pending.pop(key)
        report_id = str(uuid.uuid4())
        return _Report(report_id, uses, f'{{"report_id":"{report_id}","uses":[{",".join(parts)}]}}'.encode())

    def _confirm(self, report: _Report, answer: Answer) -> None:
        try:
            listed = strict_object(answer.body).get("dead", [])
        except InvalidToken:
            listed = None
        dead = {each.get("jti") for each in listed if isinstance(each, dict)} if isinstance(listed, list) else set()
        for jti in dead:
            if isinstance(jti, str):
                self.dead(jti)
        for (jti, _, _), (at, _) in report.uses.items():
            if jti not in dead and listed is not None:
                self.confirmed(jti, at)
        self._events.emit("reported", uses=len(report.uses), dead=len(dead))


def _use_json(key: Key, use: list[int]) -> str:
    jti, method, route = key
    members = {"jti": jti, "at": use[0], "count": use[1], "method": method, "route": route}
    return json.dumps(members, separators=(",", ":"))
