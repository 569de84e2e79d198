"""A write-behind buffer of counts: values that wait in memory, by key, until they are written together."""

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class PendingCounts(Generic[K, V]):
    """Values by key; safe among threads.

    Args:
        merge: makes one value of an older and a newer one.
    """

    def __init__(self, merge: Callable[[V, V], V]) -> None:
        self._merge = merge
        self.reset()

    def reset(self) -> None:
        """Start empty, as a child process must: the parent writes what is buffered."""
        self.lock, self._flushing = threading.RLock(), threading.Lock()
        self._values: dict[K, V] = {}

    def add(self, key: K, value: V) -> None:
        """Buffer a value, merged with the one that waits under the same key."""
        with self.lock:
            self._values[key] = self._merge(self._values[key], value) if key in self._values else value

    def __contains__(self, key: K) -> bool:
        """Whether a value waits under a key; hold ``lock`` to act on it."""
        return key in self._values

    def waiting(self) -> tuple[K, ...]:
        """The keys that wait."""
        with self.lock:
            return tuple(self._values)

    def flush(self, write: Callable[[Mapping[K, V]], None]) -> None:
        """Write all values; after an error of ``write`` they are buffered again."""
        with self._flushing:
            with self.lock:
                taken, self._values = self._values, {}
            if not taken:
                return
            try:
                write(taken)
            except BaseException:
                with self.lock:
                    newer, self._values = self._values, taken
                    for key, value in newer.items():
                        self.add(key, value)
                raise
