"""One POST to a webhook: to an address that was judged first (T-161), without redirect or proxy, in bounded time.

The name is looked up once. Each address it has is judged, and the connection is made to one of those, by number, while
the certificate is still checked for the name: what the name resolves to a moment later changes nothing.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from authserver.rules.events.addresses import address_fault
from authserver.rules.outbound.public_addresses import Network

TOTAL_SECONDS: Final = 15.0
"""For one attempt, look-up and answer included."""

MAX_ANSWER: Final = 16 * 1024
"""Bytes of an answer that are read; what it says beyond its status is not looked at."""

_CONNECT_SECONDS: Final = 5.0
_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; ``status`` is None where nothing did. ``error`` is empty for a status of success."""

    status: int | None
    error: str
    retry_after: int = 0


class Refused(Exception):
    """Nothing was sent: the text says why not."""


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    allowed: Sequence[Network] = (),
    seconds: float = TOTAL_SECONDS,
    context: ssl.SSLContext | None = None,
) -> Answered:
    """Send ``body``; whatever goes wrong is told in the answer and never raised."""
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)
    encrypted = parts.scheme == "https"
    try:
        host, port = parts.hostname or "", parts.port or (443 if encrypted else 80)
        address = _judged(host, port, allowed, encrypted=encrypted)
        connection = _Connection(host, port, address, (context or ssl.create_default_context()) if encrypted else None)
        with _ends_at(connection, deadline):
            return _exchange(connection, parts.path or "/", parts.query, headers, body)
    except Refused as error:
        return Answered(None, str(error))
    except ssl.SSLCertVerificationError as error:
        return Answered(None, f"certificate: {error.verify_message}"[:200])
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        if time.monotonic() >= deadline:
            return Answered(None, f"no answer within {seconds:g} seconds")
        return Answered(None, _named(error))


def _named(error: Exception) -> str:
    text = getattr(error, "strerror", None) or type(error).__name__
    return f"connection: {text}"[:200]


def _judged(host: str, port: int, allowed: Sequence[Network], *, encrypted: bool) -> str:
    """An address of the host, each of which may be sent to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        msg = "its host name has no address"
        raise Refused(msg) from None
    addresses = [str(each[4][0]).partition("%")[0] for each in found]
    for text in addresses:
        fault = address_fault(ipaddress.ip_address(text), allowed, encrypted=encrypted)
        if fault:
            raise Refused(fault)
    return addresses[0]


class _Connection(http.client.HTTPConnection):
    """Connects to the address that was judged, and checks the certificate for the name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=_CONNECT_SECONDS)
        self._address, self._context = address, context
        self._given = threading.Lock()
        self._over = False

    def connect(self) -> None:
        """Connect; ``http.client`` calls this."""
        plain = socket.create_connection((self._address, self.port), timeout=_CONNECT_SECONDS)
        self.sock = plain
        if self._context is not None:
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host)
        if self._over:
            msg = "too late"
            raise TimeoutError(msg)

    def end(self) -> None:
        """Cut it off, from another thread: whoever reads or writes gets an error at once."""
        self._over = True
        found: Any = self.sock
        if found is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _ends_at(connection: _Connection, deadline: float) -> Any:
    """Limit the whole exchange, however slowly its bytes come."""
    timer = threading.Timer(max(0.1, deadline - time.monotonic()), connection.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _exchange(connection: _Connection, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answered:
    connection.request("POST", path + (f"?{query}" if query else ""), body, dict(headers))
    response = connection.getresponse()
    response.read(MAX_ANSWER)
    if response.status in _SUCCESS:
        return Answered(response.status, "")
    text = response.getheader("Retry-After", "")
    wait = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0  # noqa: PLR2004 - 11 days
    error = "a redirect is not followed" if response.status in _REDIRECTS else f"answered {response.status}"
    return Answered(response.status, error, wait)
