"""Backoff with jitter and a circuit breaker, so that many verifiers do not retry at the same time."""

import random
import threading

from resource_server.clocks import Clock

_FIRST, _LONGEST = 1.0, 60.0


class Backoff:
    """Exponential backoff with full jitter: a random wait below a bound that doubles with each failure."""

    def __init__(self, clock: Clock, longest: float = _LONGEST) -> None:
        self._clock, self._longest = clock, longest
        self._failures = 0
        self.next_try = 0.0

    def fail(self, at_least: float = 0.0) -> float:
        """Count a failure; returns the seconds until the next try."""
        longest = min(_FIRST * float(2**self._failures), self._longest)
        self._failures = min(self._failures + 1, 10)
        wait = max(random.uniform(0.1, 1.0) * longest, at_least)  # noqa: S311 - spreads load, guards nothing
        self.next_try = self._clock.elapsed() + wait
        return wait

    def succeed(self) -> None:
        """Reset the failures."""
        self._failures, self.next_try = 0, 0.0

    @property
    def waiting(self) -> bool:
        """Whether it is too early for another try."""
        return self._clock.elapsed() < self.next_try


class CircuitBreaker:
    """A circuit breaker: after some failures in a row no request is sent for a while, then one request probes.

    Args:
        clock: source of time.
        max_failures: how many failures in a row open it.
        longest: seconds that it stays open, at most.
        probe: timeout of the probing request in seconds.
    """

    def __init__(self, clock: Clock, *, max_failures: int = 3, longest: float = 5.0, probe: float = 6.0) -> None:
        self._clock, self._max_failures, self._probe = clock, max_failures, probe
        self._lock = threading.Lock()
        self._backoff = Backoff(clock, longest)
        self._failures = 0
        self._probing_until = 0.0

    def try_enter(self) -> bool:
        """Whether this caller may send a request now."""
        if self._failures < self._max_failures:
            return True
        with self._lock:
            now = self._clock.elapsed()
            if self._backoff.waiting or now < self._probing_until:
                return False
            self._probing_until = now + self._probe
            return True

    def record_failure(self) -> float:
        """Count a failure; returns the seconds for which the breaker is open."""
        with self._lock:
            self._failures += 1
            self._probing_until = 0.0
            return self._backoff.fail() if self._failures >= self._max_failures else 0.0

    def record_success(self) -> None:
        """Close the breaker."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._probing_until = 0.0
                self._backoff.succeed()
