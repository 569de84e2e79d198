"""The address of the peer, whether the connection from it is private, and its TLS certificate, behind trusted proxies.

TLS is required (RFC 6749 §1.6, §3.2); plain http only from this machine itself.
``X-Forwarded-Proto`` and ``X-Forwarded-For`` are believed from configured
proxies and from nobody else; no other header of that family is ever read, and
none changes anything but these two answers (INV-32). The one header that holds the
certificate of a client is named in the configuration, and believed likewise.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CACHE_SIZE = 4096


class ProxyTrust:
    """Resolves peers; ``trusted_proxies`` end TLS for us, and write the client's certificate into one header."""

    def __init__(self, trusted_proxies: Sequence[Network] = (), certificate_header: str = "") -> None:
        self._proxies = tuple(trusted_proxies)
        self._certificate_key = f"HTTP_{certificate_header.upper().replace('-', '_')}" if certificate_header else ""
        self._classified = lru_cache(_CACHE_SIZE)(self._classify)

    def resolve_peer(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether the connection from there is private."""
        peer: str = environ.get("REMOTE_ADDR", "")
        local, trusted = self._classified(peer)
        scheme = environ.get("wsgi.url_scheme") == "https"
        if not trusted:
            return peer, scheme or local
        proto, path = environ.get("HTTP_X_FORWARDED_PROTO", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        if not proto and not path:
            return peer, scheme or local
        # The last value is the one the nearest proxy wrote; what stands before it came from outside.
        return self._origin(peer, path), proto.rpartition(",")[2].strip().lower() == "https"

    def client_certificate(self, environ: Mapping[str, Any]) -> str:
        """The certificate of the client as our proxy wrote it; empty where there is none, or who sends is no proxy."""
        if not self._certificate_key or not self._classified(environ.get("REMOTE_ADDR", ""))[1]:
            return ""
        text: str = environ.get(self._certificate_key, "")
        return text

    def _origin(self, peer: str, path: str) -> str:
        """The right-most address that is not one of our proxies."""
        origin = peer
        for hop in reversed(path.split(",")):
            address = _address(hop.strip())
            if address is None:
                break
            origin = str(address)
            if not self._is_trusted(address):
                break
        return origin

    def _classify(self, peer: str) -> tuple[bool, bool]:
        if not peer:  # no network in between: a UNIX socket, or called in this very process
            return True, False
        address = _address(peer)
        return (False, False) if address is None else (address.is_loopback, self._is_trusted(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def _address(text: str) -> Address | None:
    """Read an address, with or without a port, an IPv4 one also as an IPv4-mapped IPv6 address."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
