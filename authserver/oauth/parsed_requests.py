"""A cache of parsed requests, or of parts of them: clients send the same bytes again and again."""

from collections import OrderedDict
from collections.abc import Hashable
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

from authserver.oauth.http import Request


def request_fingerprint(request: Request) -> bytes:
    """A hash of everything that parsing a request depends on; not the bytes themselves: secrets are among them."""
    get = request.headers.get
    text = "\n".join((get("authorization", ""), get("content-type", ""), request.query, request.certificate))
    return sha256(text.encode("utf-8", "surrogatepass") + b"\n\n" + request.body).digest()


def header_fingerprint(header: str) -> bytes:
    """A hash of one header that holds a secret."""
    return sha256(header.encode("utf-8", "surrogatepass")).digest()


T = TypeVar("T")


class _Entry(Generic[T]):
    __slots__ = ("parsed", "used")

    def __init__(self, parsed: T) -> None:
        self.parsed, self.used = parsed, False


class ParsedRequestCache(Generic[T]):
    """Caches what was parsed; of successful requests only, so that guessing cannot fill it.

    The key holds no secret: it is a fingerprint wherever there may be one.

    Whether caller and token are good is never kept, and is judged each time. The entries that were not used since the
    last round are evicted first (the clock algorithm), so a scan over many tokens does not push out the busy ones;
    reading takes no lock.
    """

    def __init__(self, max_entries: int) -> None:
        """Keep ``most`` entries."""
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    def get(self, key: Hashable) -> T | None:
        """What was parsed, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.used = True
        return entry.parsed

    def put(self, key: Hashable, parsed: T) -> None:
        """Add an entry; evict one where there are too many."""
        with self._lock:
            self._entries[key] = _Entry(parsed)
            while len(self._entries) > self._max_entries:
                oldest, entry = self._entries.popitem(last=False)
                if entry.used:
                    entry.used = False
                    self._entries[oldest] = entry
