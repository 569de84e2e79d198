"""The two clocks: wall time for what tokens say, and one that only runs forward for how old an answer is."""

import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from; tests hand in their own."""

    def wall(self) -> float:
        """Seconds since the epoch, UTC; may be stepped by an operator or NTP."""

    def elapsed(self) -> float:
        """Seconds from an arbitrary start, never set back, and counted on while the machine sleeps."""


class SystemClock:
    """The machine's clocks.

    Python's ``time.monotonic`` stands still on Linux while a machine is suspended; an answer trusted for 30 seconds
    would then be trusted for a night. ``CLOCK_BOOTTIME`` goes on.
    """

    def __init__(self) -> None:
        self._boot = getattr(time, "CLOCK_BOOTTIME", None)

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def elapsed(self) -> float:
        """Seconds since the machine started, time asleep included."""
        return time.monotonic() if self._boot is None else time.clock_gettime(self._boot)


@dataclass(slots=True)
class ServerTime:
    """A lower bound of the server's time, from what its answers said; whole seconds plus what passed since."""

    clock: Clock
    _at: float = field(default=0.0)
    _seen: float = field(default=0.0)

    def told(self, at: float) -> None:
        """An answer that came just now says that it was ``at`` seconds since the epoch when it was made."""
        seen = self.clock.elapsed()
        if at >= self._at + (seen - self._seen):
            self._at, self._seen = at, seen

    def now(self) -> float | None:
        """Not later than the server's time now; None before its first answer."""
        return self._at + self.clock.elapsed() - self._seen if self._at else None
