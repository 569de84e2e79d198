"""One GET of a JSON document from an address that somebody entered, safely (OWASP SSRF; RFC 7517, OpenID Discovery).

Only https, and plain http on this machine where that is allowed at all. The name is resolved once, each address must be
public or in a network that the operator allowed, and the connection goes to the address that was looked at, so that a
second answer of the name server changes nothing. No redirect is followed, no proxy and no cookie is used, the body has
a limit, and the time is over when it is over, whatever is dripped meanwhile.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from authserver.rules.client_authentication.trust import address_fault
from authserver.rules.outbound.public_addresses import Address, Network, embedded, is_public

Resolve = Callable[[str, int], Sequence[str]]
T = TypeVar("T")

CONNECT_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 5.0
MOST_BYTES: Final = 256 * 1024
_OK: Final = 200


class FetchError(Exception):
    """Nothing usable came; ``reason`` is a word for log and owner, without anything that the other side sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def fetch(url: str, allowed: Sequence[Network] = (), resolve: Resolve | None = None) -> bytes:
    """The body of a document.

    Args:
        url: where it is.
        allowed: networks that may be asked although they are not public.
        resolve: looks a name up, for tests; host and port -> addresses.

    Raises:
        FetchError: ``address`` (not https, or malformed), ``not_public`` (it leads to a network that is not allowed),
            ``unknown_host``, ``unreachable``, ``certificate``, ``redirect``, ``status``, ``too_much``, ``too_slow``,
            ``malformed``.
    """
    if address_fault(url):
        raise FetchError("address")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise FetchError("address") from error
    ends_at = time.monotonic() + TOTAL_SECONDS
    return _with_deadline(lambda: _get(parts, port, allowed, resolve or _addresses, ends_at))


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Whether an address may be asked: public, or in a network that the operator allowed."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if any(each in network for network in allowed for each in {address, embedded(address)}):
        return True
    return is_public(address)


def _addresses(host: str, port: int) -> Sequence[str]:
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _get(parts: SplitResult, port: int, allowed: Sequence[Network], resolve: Resolve, ends_at: float) -> bytes:
    host = parts.hostname or ""
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise FetchError("unknown_host") from error
    # All of them: a name that leads outside and inside is no mistake of its owner that we should choose for.
    if not addresses or not all(is_allowed(each, allowed) for each in addresses):
        raise FetchError("not_public")
    try:
        return _read(_connected(addresses, port, host, secure=parts.scheme == "https"), parts, ends_at)
    except ssl.SSLCertVerificationError as error:
        raise FetchError("certificate") from error
    except TimeoutError as error:
        raise FetchError("too_slow") from error
    except OSError as error:
        raise FetchError("unreachable") from error
    except (http.client.HTTPException, ValueError) as error:
        raise FetchError("malformed") from error


def _connected(addresses: Sequence[str], port: int, host: str, *, secure: bool) -> socket.socket:
    """A connection to one of the addresses, with the certificate checked for the name."""
    for number, address in enumerate(addresses):
        try:
            plain = socket.create_connection((address, port), CONNECT_SECONDS)
            break
        except OSError:
            if number == len(addresses) - 1:
                raise
    if not secure:
        return plain
    try:
        return _tls().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _read(connection: socket.socket, parts: SplitResult, ends_at: float) -> bytes:
    client = http.client.HTTPConnection(parts.hostname or "", timeout=CONNECT_SECONDS)
    client.sock = connection
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc, "Accept": "application/json, application/jwk-set+json", "Connection": "close"}
        client.request("GET", target, headers=headers)
        with client.getresponse() as answer:
            if answer.status != _OK:
                raise FetchError("redirect" if 300 <= answer.status < 400 else "status")  # noqa: PLR2004 - RFC 9110
            return _body(answer, ends_at)
    finally:
        client.close()


def _body(answer: http.client.HTTPResponse, ends_at: float) -> bytes:
    body = bytearray()
    while piece := answer.read1(8192):
        body += piece
        if len(body) > MOST_BYTES:
            raise FetchError("too_much")
        if time.monotonic() > ends_at:
            raise FetchError("too_slow")
    return bytes(body)


@cache
def _tls() -> ssl.SSLContext:
    """The system's certificates, which SSL_CERT_FILE names elsewhere, and Mozilla's where there may be none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 - slow to import, and most need none

        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def _with_deadline(call: Callable[[], T]) -> T:
    """Ask in a thread of its own, for neither name look-ups nor drips of bytes know a total time limit."""
    result: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            failed.append(error)

    thread = threading.Thread(target=run, name="fetch", daemon=True)
    thread.start()
    thread.join(TOTAL_SECONDS)
    if failed:
        raise failed[0]
    if not result:
        raise FetchError("too_slow")
    return result[0]
