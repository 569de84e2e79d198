"""One request to an address that somebody else chose, and nowhere else (T-161; OWASP SSRF).

The name is looked up once. Each address that it has is judged, and the connection is made to one of those, by number,
while the certificate is still checked for the name: what the name resolves to a moment later changes nothing. No
redirect is followed, no proxy and no cookie is used, a body is read up to a limit, and the time is over when it is
over, whatever is dripped meanwhile.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from authserver.rules.outbound.public_addresses import Address

HTTPS_PORT: Final = 443

Result = TypeVar("Result")

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> addresses; ``OSError`` where there are none."""

Judge = Callable[[Address], str]
"""Says why nothing is sent to an address; empty where it may be."""


class AddressRefused(Exception):
    """Nothing was sent: the name leads to an address that is not sent to. The text is what the judge said."""


class UnknownHost(Exception):
    """Nothing was sent: the name has no address."""


class DeadlinePassed(TimeoutError):
    """The whole took too long; whether something was sent is not known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an exchange may take.

    Attributes:
        total_seconds: for all of it, look-up included.
        step_seconds: for a connection to one address, and for each wait.
        most_bytes: of an answer's body that are read.
    """

    total_seconds: float
    step_seconds: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; ``is_whole`` is false where the body went on behind the limit."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    is_whole: bool


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    judge: Judge,
    limits: Limits,
    resolve: Resolve | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request and read its answer.

    Args:
        method: of HTTP.
        url: absolute, http or https, without user and fragment.
        headers: beside Host and Connection.
        body: to send, or none.
        judge: asked about every address of the name; one that it refuses is enough.
        limits: of time and size.
        resolve: looks the name up; the system by default.
        context: whose certificates count; ``trusted`` by default.

    Raises:
        AddressRefused: see there.
        UnknownHost: see there.
        DeadlinePassed: see there.
        ssl.SSLError: no encrypted connection; ``SSLCertVerificationError`` for the certificate.
        OSError: no connection, or it broke.
        http.client.HTTPException: what came back is no HTTP.
        ValueError: ``url`` is none.
    """
    parts = urlsplit(url)
    secured = (context or trusted()) if parts.scheme == "https" else None
    connection = _Connection(parts, secured, limits)

    def exchange() -> Answer:
        connection.addresses = _judged(parts.hostname or "", connection.port, judge, resolve or addresses_of)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, {**headers, "Connection": "close"})
        with connection.getresponse() as response:
            read = response.read(limits.most_bytes + 1)
            whole = len(read) <= limits.most_bytes
            return Answer(response.status, response.headers, read[: limits.most_bytes], whole)

    return within(limits.total_seconds, exchange, at_end=connection.close, at_deadline=connection.cut_off)


def within(
    seconds: float,
    call: Callable[[], Result],
    *,
    at_end: Callable[[], None],
    at_deadline: Callable[[], None] = lambda: None,
) -> Result:
    """Call in a thread of its own, for neither look-ups of names nor drips of bytes know a time limit.

    Args:
        seconds: to wait for the result.
        call: whose result is returned, and whose exception is raised.
        at_end: called in that thread when the call is over, however late.
        at_deadline: called here when it is not.

    Raises:
        DeadlinePassed: the call took too long.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            failures.append(error)
        finally:
            at_end()

    thread, ends_at = threading.Thread(target=run, name="http-client", daemon=True), time.monotonic() + seconds
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    if thread.is_alive() or time.monotonic() >= ends_at:
        at_deadline()
        raise DeadlinePassed
    raise failures[0]


def addresses_of(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: it has none.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@cache
def trusted() -> ssl.SSLContext:
    """The system's certificates, which SSL_CERT_FILE names elsewhere, and Mozilla's where there may be none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 - slow to import, and most need none

        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def _judged(host: str, port: int, judge: Judge, resolve: Resolve) -> Sequence[str]:
    """All addresses of a host. A name that leads outside and inside is no mistake that we should choose for."""
    try:
        found = [ipaddress.ip_address(each.partition("%")[0]) for each in resolve(host, port)]
    except (OSError, UnicodeError) as error:
        raise UnknownHost(host) from error
    except ValueError as error:
        raise AddressRefused("its name resolves to what is no address") from error
    if not found:
        raise UnknownHost(host)
    for address in found:
        fault = judge(address)
        if fault:
            raise AddressRefused(fault)
    return [str(each) for each in found]


class _Connection(http.client.HTTPConnection):
    """Connects to the first of ``addresses`` that answers; ``host`` stays the name, also for the certificate."""

    addresses: Sequence[str] = ()

    def __init__(self, parts: SplitResult, context: ssl.SSLContext | None, limits: Limits) -> None:
        self.default_port = HTTPS_PORT if context else http.client.HTTP_PORT  # so that Host names another one only
        super().__init__(parts.hostname or "", parts.port or self.default_port, timeout=limits.step_seconds)
        self._context = context
        self._over = False

    def connect(self) -> None:
        """Connect; ``http.client`` calls this."""
        self._take(self._connected())
        if self._context is not None:
            secured = self._context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._take(secured)
            secured.do_handshake()

    def _connected(self) -> socket.socket:
        for address in self.addresses[:-1]:
            if self._over:
                break
            with contextlib.suppress(OSError):
                return socket.create_connection((address, self.port), self.timeout)
        return socket.create_connection((self.addresses[-1], self.port), self.timeout)

    def _take(self, sock: socket.socket) -> None:
        """Use a socket, where it is not too late already: then nobody would end it any more."""
        self.sock = sock
        if self._over:
            sock.close()
            raise DeadlinePassed

    def cut_off(self) -> None:
        """End it from another thread: whoever reads or writes gets an error at once."""
        self._over = True
        found: Any = self.sock
        if found is not None:
            with contextlib.suppress(OSError):
                # Of an SSLSocket too: its own method takes the encryption away from under the thread that reads.
                socket.socket.shutdown(found, socket.SHUT_RDWR)
