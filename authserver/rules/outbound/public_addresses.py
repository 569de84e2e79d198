"""Whether an address leads outside (T-161): the one judgement for webhooks, events, key sets and the provider."""

import ipaddress
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052 §2.1: an IPv4 address that some networks translate. Its local twin 64:ff9b:1::/48 (RFC 8215) is reserved."""


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, by any of the ways to write one; itself where there is none."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def is_public(address: Address) -> bool:
    """Whether an address and the one embedded in it are reached through the internet alone."""
    inner = embedded(address)
    if isinstance(inner, ipaddress.IPv6Address) and inner.is_site_local:
        return False
    # What embeds another stands in a reserved range itself; a Teredo address is nowhere global.
    reached = not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)
    return reached and address.is_global and inner.is_global


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether an address may be asked: public, or in a network that the operator allowed."""
    return is_public(address) or any(each in network for network in allowed for each in {address, embedded(address)})
