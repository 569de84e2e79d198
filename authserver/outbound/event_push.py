"""Sends one event to the address that its receiver gave (RFC 8935 §2), and nowhere else.

The address is a resource server's own choice, so it could point at what only this machine can reach. Therefore: https
with a verified certificate; every address that the name resolves to must be public, unless the operator named its
network; the connection goes to the address that was checked, not to what the name resolves to a moment later; no
redirect is followed, no proxy of the environment used, and an answer is read no further, and waited for no longer,
than its status and a short error need.
"""

import http.client
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from authserver.outbound.safe_fetch import is_allowed
from authserver.ports.shared_signals.streams import Outcome
from authserver.rules.outbound.public_addresses import Address, Network

STEP_SECONDS = 5.0
TOTAL_SECONDS = 15.0
MOST_BYTES = 8 * 1024

ACCEPTED = 202
_BAD_REQUEST = 400
_HTTPS_PORT = 443
_CODE = re.compile("[a-z][a-z_]{0,39}")
_FINAL = frozenset({"invalid_request", "invalid_issuer", "invalid_audience"})
"""RFC 8935 §2.4: errors that the same event would meet again. A key may be fetched anew, access be granted."""


class _NotSent(Exception):
    """Nothing was sent; the text is a word for the log."""


Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> addresses."""


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: it has none.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PushClient:
    """Sends events; safe among threads."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        resolve: Resolve = resolve,
        context: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """Allow ``networks`` beside public addresses; on loopback within them, http too."""
        self._networks, self._resolve, self._total = tuple(networks), resolve, total_seconds
        self._context = context or ssl.create_default_context()

    def url_fault(self, url: str) -> str:
        """What is wrong with the address of a receiver, or empty; what its name resolves to is for ``send``."""
        text = "delivery.endpoint_url is an https URL with a public host, without user or fragment"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            return text
        printable = url.isascii() and all("!" <= char <= "~" for char in url)
        if not host or "@" in parts.netloc or "#" in url or not printable or parts.port == 0:
            return text
        literal = _literal(host)
        if literal is not None and not self._allowed(literal):
            return f"{text}; the operator may allow networks by AUTHSERVER_PUSH_NETWORKS"
        if parts.scheme == "https":
            return ""
        is_local = host == "localhost" or (literal is not None and literal.is_loopback)
        allowed = any(network.is_loopback for network in self._networks)
        return "" if parts.scheme == "http" and is_local and allowed else text

    def send(self, url: str, event: str, authorization: str) -> Outcome:
        """Push one signed event."""
        try:
            address = self._checked(url)
            status, body = self._exchange(url, address, event, authorization)
        except _NotSent as error:
            return Outcome(accepted=False, error=str(error))
        except ssl.SSLError:
            return Outcome(accepted=False, error="tls_failed")
        except (OSError, http.client.HTTPException):
            return Outcome(accepted=False, error="no_answer")
        return _outcome(status, body)

    def _checked(self, url: str) -> str:
        """The address to connect to.

        Raises:
            _NotSent: it may not be gone to, or there is none.
        """
        if self.url_fault(url):
            raise _NotSent("address_not_allowed")
        parts = urlsplit(url)
        try:
            texts = self._resolve(parts.hostname or "", _port(url))
            found = [ipaddress.ip_address(each.partition("%")[0]) for each in texts]
        except (OSError, ValueError) as error:
            raise _NotSent("name_not_resolved") from error
        private = parts.scheme == "https" or all(each.is_loopback for each in found)
        if not found or not private or not all(self._allowed(each) for each in found):
            raise _NotSent("address_not_allowed")
        return str(found[0])

    def _exchange(self, url: str, address: str, event: str, authorization: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _connection(url, address, self._context)
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        # A receiver that answers a byte at a time keeps every single wait short; the whole may not be long either.
        watchdog = threading.Timer(self._total, _abort, (connection,))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", target, event.encode("ascii"), headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MOST_BYTES)
        finally:
            watchdog.cancel()
            connection.close()

    def _allowed(self, address: Address) -> bool:
        return is_allowed(str(address), self._networks)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _CheckedConnection(http.client.HTTPConnection):
    """Connects to the address that was checked; ``host`` stays what is asked for."""

    address = ""

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), STEP_SECONDS)


class _CheckedTlsConnection(_CheckedConnection):
    context: ssl.SSLContext

    def connect(self) -> None:
        super().connect()
        self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (_HTTPS_PORT if parts.scheme == "https" else 80)


def _connection(url: str, address: str, context: ssl.SSLContext) -> _CheckedConnection:
    parts = urlsplit(url)
    kind = _CheckedTlsConnection if parts.scheme == "https" else _CheckedConnection
    connection = kind(parts.hostname or "", _port(url), timeout=STEP_SECONDS)
    connection.address = address
    if isinstance(connection, _CheckedTlsConnection):
        connection.context = context
        connection.default_port = _HTTPS_PORT  # so that Host names the port only where it is another
    return connection


def _abort(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _outcome(status: int, body: bytes) -> Outcome:
    if status == ACCEPTED:
        return Outcome(accepted=True)
    code: Any = ""
    if status == _BAD_REQUEST:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        code = found.get("err", "") if isinstance(found, dict) else ""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return Outcome(accepted=False, error=f"status_{status}")
    return Outcome(accepted=False, error=code, final=code in _FINAL)
