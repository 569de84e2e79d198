"""The two clocks: wall time for the instants in tokens, and a monotonic one for the age of answers."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """A source of time; tests pass their own."""

    def wall(self) -> float:
        """Seconds since the epoch, UTC; may be stepped by an operator or NTP."""

    def elapsed(self) -> float:
        """Seconds from an arbitrary start, never set back, and counted on while the machine sleeps."""


class SystemClock:
    """The machine's clocks.

    Python's ``time.monotonic`` stops on Linux while a machine is suspended, so an answer trusted for 30 seconds could
    be trusted for a night. ``CLOCK_BOOTTIME`` does not stop.
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
    """A lower bound of the server's time: the newest instant in its answers plus the time elapsed since."""

    clock: Clock
    ahead: float = field(default=-math.inf)
    """Server time minus elapsed time, at least; one number, so that a read is atomic."""

    def observe(self, at: float) -> None:
        """An answer that was received just now was made at ``at``, in seconds since the epoch."""
        self.ahead = max(self.ahead, at - self.clock.elapsed())

    def now(self) -> float | None:
        """A time not later than the server's; None before its first answer."""
        return None if self.ahead == -math.inf else self.ahead + self.clock.elapsed()
