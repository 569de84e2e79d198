"""Sends one event to the address that its receiver gave (RFC 8935 §2), and nowhere else.

The address is a resource server's own choice, so it could point at what only this machine can reach. Therefore: https
to public addresses, unless the operator named its network; what is held to of connection, time and size is said in
``http_client``.
"""

import http.client
import ipaddress
import json
import re
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from authserver.http_client import AddressRefused, Answer, Limits, Resolve, UnknownHost, send
from authserver.ports.shared_signals.streams import Outcome
from authserver.rules.outbound.public_addresses import Address, Network, is_allowed

STEP_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 15.0
MOST_BYTES: Final = 8 * 1024

ACCEPTED: Final = 202
_BAD_REQUEST: Final = 400
_CODE: Final = re.compile("[a-z][a-z_]{0,39}")
_FINAL: Final = frozenset({"invalid_request", "invalid_issuer", "invalid_audience"})
"""RFC 8935 §2.4: errors that the same event would meet again. A key may be fetched anew, access be granted."""

_ERRORS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (AddressRefused, "address_not_allowed"),
    (UnknownHost, "name_not_resolved"),
    (ssl.SSLError, "tls_failed"),
    (OSError, "no_answer"),
    (http.client.HTTPException, "no_answer"),
)
"""The first that an error is one of counts."""


class PushClient:
    """Sends events; safe among threads."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        resolve: Resolve | None = None,
        context: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """Allow ``networks`` beside public addresses; on loopback within them, http too."""
        self._networks, self._resolve, self._total = tuple(networks), resolve, total_seconds
        self._context = context

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
        if self.url_fault(url):
            return Outcome(accepted=False, error="address_not_allowed")
        try:
            return _outcome(self._answer(url, event, authorization))
        except tuple(kind for kind, _ in _ERRORS) as error:
            return Outcome(accepted=False, error=next(word for kind, word in _ERRORS if isinstance(error, kind)))

    def _answer(self, url: str, event: str, authorization: str) -> Answer:
        encrypted = urlsplit(url).scheme == "https"
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization

        def judge(address: Address) -> str:
            return "" if self._allowed(address) and (encrypted or address.is_loopback) else "not allowed"

        return send(
            "POST",
            url,
            headers,
            event.encode("ascii"),
            judge=judge,
            limits=Limits(self._total, STEP_SECONDS, MOST_BYTES),
            resolve=self._resolve,
            context=self._context,
        )

    def _allowed(self, address: Address) -> bool:
        return is_allowed(address, self._networks)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _outcome(answer: Answer) -> Outcome:
    if answer.status == ACCEPTED:
        return Outcome(accepted=True)
    code: Any = ""
    if answer.status == _BAD_REQUEST:
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        code = found.get("err", "") if isinstance(found, dict) else ""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return Outcome(accepted=False, error=f"status_{answer.status}")
    return Outcome(accepted=False, error=code, final=code in _FINAL)
