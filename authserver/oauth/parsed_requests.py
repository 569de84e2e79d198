"""A cache of parsed requests, keyed by a hash of their bytes: clients send the same bytes again and again."""

from hashlib import sha256
from typing import Generic, TypeVar

from authserver.oauth.http import Request


def request_fingerprint(request: Request) -> bytes:
    """A hash of all that the reading of a request depends on: APIs and clients send the same bytes again and again."""
    headers = request.headers
    parts = (headers.get("authorization", ""), headers.get("content-type", ""), request.query)
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass") + b"\n\n" + request.body).digest()


T = TypeVar("T")


class ParsedRequestCache(Generic[T]):
    """Caches parsed requests by ``request_fingerprint``; only successful ones enter, so strangers cannot fill it.

    Whether caller and token are good is never kept, and is judged each time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}
        self.get = self._kept.get

    def keep(self, mark: bytes, reading: T) -> None:
        """Keep one more; when there are too many, begin anew."""
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[mark] = reading
