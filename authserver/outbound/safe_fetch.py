"""One GET of a JSON document from an address that somebody entered, safely (RFC 7517, OpenID Discovery).

Only https, and plain http on this machine where that is allowed at all; to public addresses, and networks that the
operator allowed. What is held to of connection, time and size is said in ``http_client``.
"""

import http.client
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from authserver.http_client import AddressRefused, Answer, Limits, Resolve, UnknownHost, send
from authserver.rules.client_authentication.trust import address_fault
from authserver.rules.outbound.public_addresses import Network, is_allowed

CONNECT_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 5.0
MOST_BYTES: Final = 256 * 1024
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_HEADERS: Final = {"Accept": "application/json, application/jwk-set+json"}

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (UnknownHost, "unknown_host"),
    (AddressRefused, "not_public"),
    (ssl.SSLCertVerificationError, "certificate"),
    (TimeoutError, "too_slow"),
    (OSError, "unreachable"),
    (http.client.HTTPException, "malformed"),
    (ValueError, "malformed"),
)
"""The first that an error is one of counts."""


class FetchError(Exception):
    """Nothing usable came; ``reason`` is a word for log and owner, without anything that the other side sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def fetch(
    url: str,
    allowed: Sequence[Network] = (),
    resolve: Resolve | None = None,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """The body of a document.

    Args:
        url: where it is.
        allowed: networks that may be asked although they are not public.
        resolve: looks a name up, for tests; host and port -> addresses.
        context: whose certificates count, for tests.

    Raises:
        FetchError: ``address`` (not https, or malformed), ``not_public`` (it leads to a network that is not allowed),
            ``unknown_host``, ``unreachable``, ``certificate``, ``redirect``, ``status``, ``too_much``, ``too_slow``,
            ``malformed``.
    """
    if address_fault(url) or not _has_host(url):
        raise FetchError("address")
    answer = _asked(url, allowed, resolve, context)
    if answer.status != _OK:
        raise FetchError("redirect" if answer.status in _REDIRECTS else "status")
    if not answer.is_whole:
        raise FetchError("too_much")
    return answer.body


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _asked(url: str, allowed: Sequence[Network], resolve: Resolve | None, context: ssl.SSLContext | None) -> Answer:
    try:
        return send(
            "GET",
            url,
            _HEADERS,
            judge=lambda address: "" if is_allowed(address, allowed) else "not public",
            limits=Limits(TOTAL_SECONDS, CONNECT_SECONDS, MOST_BYTES),
            resolve=resolve,
            context=context,
        )
    except tuple(kind for kind, _ in _REASONS) as error:
        raise FetchError(next(reason for kind, reason in _REASONS if isinstance(error, kind))) from error
