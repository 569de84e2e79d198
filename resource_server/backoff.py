"""How verifiers come back after a failure without coming all at once: waits that double and are drawn at random."""

import random
import threading

from resource_server.clocks import Clock

_FIRST, _LONGEST = 1.0, 60.0


class Backoff:
    """How long to wait after failures: doubling, at random between nothing and that ("full jitter")."""

    def __init__(self, clock: Clock, longest: float = _LONGEST) -> None:
        self._clock, self._longest = clock, longest
        self._failures = 0
        self.next_try = 0.0

    def fail(self, at_least: float = 0.0) -> float:
        """Note a failure; returns the seconds until the next try."""
        longest = min(_FIRST * float(2**self._failures), self._longest)
        self._failures = min(self._failures + 1, 10)
        wait = max(random.uniform(0.1, 1.0) * longest, at_least)  # noqa: S311 - spreads load, guards nothing
        self.next_try = self._clock.elapsed() + wait
        return wait

    def succeed(self) -> None:
        """Forget the failures."""
        self._failures, self.next_try = 0, 0.0

    @property
    def waiting(self) -> bool:
        """Whether it is too early for another try."""
        return self._clock.elapsed() < self.next_try


class Gate:
    """Spares a server that does not answer: after failures in a row nobody asks for a while, then one tries.

    Args:
        clock: where the time comes from.
        allowed: how many failures in a row close it.
        longest: seconds that it stays closed, at most.
        probe: seconds after which the one who tries is given up.
    """

    def __init__(self, clock: Clock, *, allowed: int = 3, longest: float = 5.0, probe: float = 6.0) -> None:
        self._clock, self._allowed, self._probe = clock, allowed, probe
        self._lock = threading.Lock()
        self._backoff = Backoff(clock, longest)
        self._failures = 0
        self._probing_until = 0.0

    def enter(self) -> bool:
        """Whether this caller may ask now."""
        if self._failures < self._allowed:
            return True
        with self._lock:
            now = self._clock.elapsed()
            if self._backoff.waiting or now < self._probing_until:
                return False
            self._probing_until = now + self._probe
            return True

    def failed(self) -> float:
        """The server did not answer; returns the seconds for which it is spared."""
        with self._lock:
            self._failures += 1
            self._probing_until = 0.0
            return self._backoff.fail() if self._failures >= self._allowed else 0.0

    def answered(self) -> None:
        """The server answered."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._probing_until = 0.0
                self._backoff.succeed()
