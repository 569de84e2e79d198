"""The two clocks: wall time for what tokens say, and one that only runs forward for how old an answer is."""

import functools
import time
from collections.abc import Callable
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
        self.wall: Callable[[], float] = time.time
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        # Without a wrapper: both are read for each call to the API.
        self.elapsed: Callable[[], float] = (
            time.monotonic if boot is None else functools.partial(time.clock_gettime, boot)
        )


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
            self._seen, self._at = seen, at  # in this order a reader between the two sees less, not more

    def now(self) -> float | None:
        """Not later than the server's time now; None before its first answer."""
        return self.at(self.clock.elapsed()) if self._at else None

    def at(self, elapsed: float) -> float:
        """Not later than the server's time at an elapsed time; far in the past before its first answer."""
        return self._at + elapsed - self._seen
