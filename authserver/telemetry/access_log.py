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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

import orjson

from authserver.telemetry.redaction import redact

_WAIT_SECONDS = 0.2
_GRACE_SECONDS = 1.0
_PENDING = 20_000

LEVELS = ("debug", "info", "warning", "error")

Line = tuple[float, str, Mapping[str, object]]


class AccessLog:
    """Writes one line per request; the thread starts with the first line."""

    def __init__(
        self, sink: TextIO | None = None, least: str = "info", render: Callable[[Line], str] | None = None
    ) -> None:
        """Write to ``sink``, or to standard error, what is of level ``least`` or above; JSON without ``render``."""
        self._sink, self._render = sink, render or _render
        self._levels = frozenset(LEVELS[LEVELS.index(least) :])
        self._pending: deque[Line] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: Callable[[], None] | None = None

    @staticmethod
    def now() -> float:
        """The instant for a line that is written later, in seconds since the epoch."""
        return time.time()

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

    def wake(self) -> None:
        """Have the thread run that writes; also replaces one that died."""
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def flush(self) -> None:
        """Write what is pending; what a broken sink does not take counts as dropped."""
        with self._writing:
            if self._before is not None:
                self._before()
            lines = []
            while self._pending:
                lines.append(self._render(self._pending.popleft()))
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


def _render(entry: Line) -> str:
    at, level, values = entry
    whole_second, fraction = divmod(at, 1)
    line: dict[str, object] = {"at": f"{_format_second(int(whole_second))}.{int(fraction * 1000):03d}Z", "level": level}
    for key, value in values.items():
        line[key] = _redacted(value)
    try:
        encoded = orjson.dumps(line)
    except TypeError:  # half a surrogate pair, which somebody sent
        encoded = b"\xff"
    # Control characters, and characters that look like others, are escaped.
    return (encoded.decode() if encoded.isascii() else json.dumps(line)) + "\n"


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
