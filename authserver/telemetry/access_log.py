"""The log line of each request, made beside the request path.

A request hands over plain values and goes on; a thread of its own renders and
writes them in batches. When the sink is blocked the newest lines are dropped
and counted, so a full pipe never stops an introspection (INV-25).
"""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TextIO

import orjson

from authserver.telemetry.redaction import redact

_WAIT_SECONDS = 0.2
_GRACE_SECONDS = 1.0
_PENDING = 20_000

LEVELS = ("debug", "info", "warning", "error")

Line = tuple[float, str, Mapping[str, object]]
"""When, which of ``LEVELS``, and the values by name."""


class RequestFacts(NamedTuple):
    """What many requests have in common, so that it is made into JSON once for all of them; empty is left out."""

    endpoint: str
    method: str
    status: int
    peer: str
    outcome: str
    reason: str
    client: str
    detail: str = ""
    trace_id: str = ""


class RequestLine(NamedTuple):
    """One request to a machine endpoint, which took so many seconds; ``given`` is the caller's id of it, or empty."""

    at: float
    level: str
    given: str
    fresh_id: str
    seconds: float
    facts: RequestFacts

    def as_line(self) -> Line:
        """The same by names, in the order in which they are written."""
        facts = self.facts
        values: dict[str, object] = {
            "event": "request",
            "request_id": self.given or self.fresh_id,
            "endpoint": facts.endpoint,
            "method": facts.method,
            "status": facts.status,
            "ms": round(self.seconds * 1000, 2),
            "peer": facts.peer,
        }
        for name in ("outcome", "reason", "client", "detail", "trace_id"):
            if text := getattr(facts, name):
                values[name] = text
        return self.at, self.level, values


class AccessLog:
    """Writes one line per request; the thread starts with the first line."""

    def __init__(
        self, sink: TextIO | None = None, least: str = "info", render: Callable[[Line], str] | None = None
    ) -> None:
        """Write to ``sink``, or to standard error, what is of level ``least`` or above; JSON without ``render``."""
        self._sink, self._render = sink, _rendered_by(render) if render else _render
        self._levels = frozenset(LEVELS[LEVELS.index(least) :])
        self._pending: deque[Line | RequestLine] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: Callable[[], None] | None = None

    now = staticmethod(time.time)
    """The instant for a line that is written later, in seconds since the epoch."""

    def before_writing(self, callback: Callable[[], None]) -> None:
        """Have something called each time before lines are written; it may hand over more of them."""
        self._before = callback

    def write(self, values: Mapping[str, object], level: str = "info", at: float | None = None) -> None:
        """Hand over the values of one line; never waits for the sink.

        Args:
            values: by name.
            level: one of ``LEVELS``.
            at: when it happened, seconds since the epoch; by default now.
        """
        if level not in self._levels:
            return
        if len(self._pending) >= _PENDING:
            self._dropped += 1
            return
        self._pending.append((self.now() if at is None else at, level, values))
        self.wake()

    def write_requests(self, lines: Sequence[RequestLine]) -> None:
        """Hand over the lines of many requests; never waits for the sink."""
        levels = self._levels
        kept = [line for line in lines if line[1] in levels]
        room = max(0, _PENDING - len(self._pending))
        self._dropped += max(0, len(kept) - room)
        self._pending.extend(kept[:room])
        if kept:
            self.wake()

    def wake(self) -> None:
        """Have the thread run that writes; also replaces one that died."""
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def flush(self) -> None:
        """Write what is pending; what a broken sink does not take counts as dropped."""
        with self._writing:
            if self._before is not None:
                self._before()
            # As many as wait now: with what comes meanwhile a fast caller would keep this from ever writing.
            lines = [self._render(self._pending.popleft()) for _ in range(len(self._pending))]
            written, dropped, self._dropped = len(lines), self._dropped, 0
            if dropped:
                count: Line = (time.time(), "warning", {"event": "request_lines_dropped", "count": dropped})
                lines.append(self._render(count))
            if not lines:
                return
            sink = self._sink or sys.stderr
            try:
                sink.write("".join(lines))
                sink.flush()
            except (OSError, ValueError):
                self._dropped += written + dropped

    def close(self) -> None:
        """Let the thread write what is left and stop; a blocked sink does not hold up the end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_GRACE_SECONDS)

    def _start(self) -> None:
        with self._lock:
            alive = self._thread is not None and self._thread.is_alive()
            if not alive and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_WAIT_SECONDS):
            self.flush()
        self.flush()


def _redacted(value: object) -> object:
    return redact(value) if isinstance(value, str) else value


def _rendered_by(render: Callable[[Line], str]) -> Callable[[Line | RequestLine], str]:
    return lambda line: render(line.as_line() if isinstance(line, RequestLine) else line)


def _render(line: Line | RequestLine) -> str:
    if isinstance(line, RequestLine):
        return _render_request(line)
    at, level, values = line
    return f'{{"at":"{_instant(at)}","level":"{level}",{_members(values)[1:]}\n'


def _render_request(line: RequestLine) -> str:
    at, level, given, fresh, seconds, facts = line
    # A detail or trace is of one request: remembering it would push out what repeats.
    own = facts.detail or facts.trace_id
    before, after = _around_duration.__wrapped__(facts) if own else _around_duration(facts)
    request_id = redact(given) if given else fresh
    return (
        f'{{"at":"{_instant(at)}","level":"{level}","event":"request","request_id":"{request_id}",'
        f'{before},"ms":{round(seconds * 1000, 2)},{after}\n'
    )


@lru_cache(maxsize=2048)
def _around_duration(facts: RequestFacts) -> tuple[str, str]:
    """What the line of a request says before its duration and behind it, as JSON."""
    values = RequestLine(0.0, "", "", "", 0.0, facts).as_line()[2]
    names = list(values)
    before, after = names[2 : names.index("ms")], names[names.index("ms") + 1 :]
    return _members({name: values[name] for name in before})[1:-1], _members({name: values[name] for name in after})[1:]


def _members(values: Mapping[str, object]) -> str:
    """A JSON object without secrets, in ASCII: control characters, and what looks like others, are escaped."""
    clean = {name: _redacted(value) for name, value in values.items()}
    try:
        encoded = orjson.dumps(clean)
    except TypeError:  # half a surrogate pair, which somebody sent
        encoded = b"\xff"
    return encoded.decode() if encoded.isascii() else json.dumps(clean)


def _instant(at: float) -> str:
    whole = int(at)
    return f"{_format_second(whole)}.{int((at - whole) * 1000):03d}Z"


_GREEN, _YELLOW, _RED, _FAINT, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
_FIRST_ERROR, _FIRST_FAULT = 400, 500
_LEADING_FIELDS = frozenset({"event", "request_id", "endpoint", "route", "method", "status", "ms", "outcome"})


def text_renderer(*, colours: bool) -> Callable[[Line], str]:
    """Make the short line that a person at a terminal reads: ``09:30:00 POST token 200 8 ms granted client=…``."""

    def colour_text(colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if colours and text else text

    def render(entry: Line) -> str:
        at, _, values = entry
        shown = {name: _printable(value) for name, value in values.items() if value or value == 0}
        status = values.get("status", 0)
        code = status if isinstance(status, int) else 0
        colour = _RED if code >= _FIRST_FAULT else _YELLOW if code >= _FIRST_ERROR else _GREEN
        rest = [f"{name}={text}" for name, text in shown.items() if name not in _LEADING_FIELDS]
        words = [
            datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S"),
            shown.get("method", ""),
            shown.get("route") or shown.get("endpoint") or shown.get("event", ""),
            colour_text(colour, shown.get("status", "")),
            f"{values['ms']:.0f} ms" if isinstance(values.get("ms"), float | int) else "",
            shown.get("outcome", ""),
            colour_text(_FAINT, " ".join(rest)),
        ]
        return " ".join(word for word in words if word) + "\n"

    return render


def _printable(value: object) -> str:
    """A value without secrets, and with control characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(_redacted(value)))


@lru_cache(maxsize=4)
def _format_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
