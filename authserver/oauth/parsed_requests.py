"""A cache of parsed requests, keyed by a hash of their bytes: clients send the same bytes again and again."""

from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

from authserver.oauth.http import Request


def request_fingerprint(request: Request, body: bytes, *more: str) -> bytes:
    """A hash of everything that parsing a request depends on: its ``body``, or the part that counts, and ``more``.

    A hash and not the bytes themselves, because secrets are among them.
    """
    get = request.headers.get
    text = "\n".join((get("authorization", ""), get("content-type", ""), request.query, *more))
    return sha256(text.encode("utf-8", "surrogatepass") + b"\n\n" + body).digest()


T = TypeVar("T")


class _Entry(Generic[T]):
    __slots__ = ("parsed", "used")

    def __init__(self, parsed: T) -> None:
        self.parsed, self.used = parsed, False


class ParsedRequestCache(Generic[T]):
    """Caches parsed requests by ``request_fingerprint``; only successful ones enter, so that guessing cannot fill it.

    Whether caller and token are good is never kept, and is judged each time. The entries that were not used since the
    last round are evicted first (the clock algorithm), so a scan over many tokens does not push out the busy ones;
    reading takes no lock.
    """

    def __init__(self, max_entries: int) -> None:
        """Keep ``most`` entries."""
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, _Entry[T]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    def get(self, fingerprint: bytes) -> T | None:
        """The parsed request, or None."""
        entry = self._entries.get(fingerprint)
        if entry is None:
            return None
        entry.used = True
        return entry.parsed

    def put(self, fingerprint: bytes, parsed: T) -> None:
        """Add an entry; evict one where there are too many."""
        with self._lock:
            self._entries[fingerprint] = _Entry(parsed)
            while len(self._entries) > self._max_entries:
                oldest, entry = self._entries.popitem(last=False)
                if entry.used:
                    entry.used = False
                    self._entries[oldest] = entry
