"""HTTP requests and responses as plain values; every response body is JSON."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from authserver.oauth.throttle import FailedAttempt

_UNPRINTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


dump: Callable[[object], bytes] = orjson.dumps
"""JSON without white space, in UTF-8."""


class Headers(Mapping[str, str]):
    """The headers of a WSGI request, read where the server put them: nothing is copied. Names in lower case."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ[_wsgi_name(name)]
        return value

    def get(self, name: str, default: Any = "") -> Any:
        """One header; the empty string when it is absent."""
        return self._environ.get(_wsgi_name(name), default)

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-").lower() for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _wsgi_name(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{upper}"


class BodyStream:
    """A request body that its endpoint reads by itself, after it knows who calls; longer than other bodies may be."""

    def __init__(self, stream: Any, declared: int | None, max_bytes: int) -> None:
        """``declared`` bytes are to come (None: until the stream ends), and no more than ``max_bytes`` are taken."""
        self._stream, self._declared, self._max_bytes, self._read_bytes = stream, declared, max_bytes, 0

    def read(self, size: int) -> bytes:
        """The next bytes, ``size`` at most; empty at the end.

        Raises:
            BadRequest: the body is too large, or ended early.
        """
        length = size if self._declared is None else min(size, self._declared - self._read_bytes)
        chunk: bytes = self._stream.read(length) if length else b""
        self._read_bytes += len(chunk)
        if self._read_bytes > self._max_bytes:
            raise BadRequest(too_large(self._max_bytes), 413)
        if length and not chunk and self._declared is not None:
            msg = "The request body ended early."
            raise BadRequest(msg)
        return chunk


def too_large(max_bytes: int) -> str:
    """The sentence for a body that is longer than ``max_bytes`` bytes."""
    return f"The request body may have {max_bytes // 1024} kB at most."


class Request(NamedTuple):
    """One HTTP request as plain values; header names in lower case.

    ``path`` is the endpoint's own, whatever alias was requested; ``peer`` is the
    caller's address, also behind trusted proxies.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""
    stream: BodyStream | None = None
    """Where the route says so, and ``body`` is empty then."""
    certificate: str = ""
    """The TLS certificate of the client, as a trusted proxy wrote it; empty for none."""


class Response(NamedTuple):
    """One HTTP response.

    ``log_fields`` is for log and metrics, never for the caller: ``outcome``, the true
    ``reason`` (both of closed sets), ``client`` and ``detail``. ``failed_attempt`` is
    what the throttle counts.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = NO_STORE
    log_fields: Mapping[str, str] = MappingProxyType({})
    failed_attempt: FailedAttempt | None = None


Endpoint = Callable[[Request], Response]


class BadRequest(ValueError):
    """RFC 6749 §5.2 ``invalid_request``; ``status`` is 400 unless HTTP has a better one."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def error_response(
    code: str,
    text: str,
    status: int = 400,
    headers: tuple[tuple[str, str], ...] = (),
    log_fields: Mapping[str, str] | None = None,
) -> Response:
    """Make an error response (RFC 6749 §5.2); the text is cut down to the characters allowed there."""
    log_fields = {"outcome": code, "reason": code, **(log_fields or {})}
    return Response(status, _error_body(code, text), headers=(*NO_STORE, *headers), log_fields=log_fields)


@lru_cache(maxsize=128)
def _error_body(code: str, text: str) -> bytes:
    return dump({"error": code, "error_description": _UNPRINTABLE.sub("?", text)})
