"""The two clocks: wall time for what tokens say, and one that only runs forward for how old an answer is."""

import functools
import math
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
    ahead: float = field(default=-math.inf)
    """How far the server's time is ahead of the elapsed time, at least; one number, so that it is read whole."""

    def told(self, at: float) -> None:
        """An answer that came just now says that it was ``at`` seconds since the epoch when it was made."""
        self.ahead = max(self.ahead, at - self.clock.elapsed())

    def now(self) -> float | None:
        """Not later than the server's time now; None before its first answer."""
        return None if self.ahead == -math.inf else self.ahead + self.clock.elapsed()
