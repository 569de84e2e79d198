"""Where a webhook may be sent (T-161): https to a public address, or a network that the configuration allows.

A name is judged by every address it resolves to, and the connection is made to the address that was judged, so a
name that changes its answer meanwhile gains nothing.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from authserver.rules.outbound.public_addresses import Address, Network, is_public

MAX_URL: Final = 1000
_SCHEMES: Final = frozenset({"https", "http"})


def url_fault(url: str) -> str:
    """Say what is wrong with the URL of a webhook; empty when nothing is, as far as can be told without a look-up."""
    text = f"a webhook is sent to an absolute https URL without user, password and fragment, {MAX_URL} characters long"
    if len(url) > MAX_URL or not all("!" <= char <= "~" for char in url) or "\\" in url:
        return text
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return text
    return "" if fine and "@" not in parts.netloc and "#" not in url else text


def address_fault(address: Address, allowed: Sequence[Network], *, encrypted: bool) -> str:
    """Say why nothing may be sent to an address; empty when something may."""
    if any(address in network for network in allowed):
        return ""
    if not encrypted:
        return "plain http is for networks in AUTHSERVER_WEBHOOK_NETWORKS only; use https"
    if not is_public(address):
        return "its address is private; AUTHSERVER_WEBHOOK_NETWORKS can allow it"
    return ""


def network_of(peer: str) -> str:
    """The network an address belongs to, as far as a leak or a move is told from a new lease: /24, or /48 of IPv6."""
    try:
        address: Address = ipaddress.ip_address(peer)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))  # noqa: PLR2004 - IPv4
