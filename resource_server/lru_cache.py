"""A bounded cache that evicts the least recently used item."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """A mapping of at most ``size`` items, safe among threads; ``size`` 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._items: OrderedDict[K, V] = OrderedDict()
        self.peek: Callable[[K], V | None] = self._items.get
        """The value, or None; it does not count as used."""

    def get(self, key: K) -> V | None:
        """The value, or None; it counts as used."""
        try:
            value = self._items[key]
            self._items.move_to_end(key)
        except KeyError:  # also when another thread removed it between the two lines
            return None
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        with self._lock:
            self._items[key] = value
            self._items.move_to_end(key)
            while len(self._items) > self._size:
                self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget a value, if it is there."""
        with self._lock:
            self._items.pop(key, None)

    def __len__(self) -> int:
        return len(self._items)
