"""Restrictions of a credential beside its roles: networks, audiences, token lifetime, and only key-bound tokens.

Most credentials have none, and then a request pays nothing. Stored as one text, so that a token request reads them in
its one statement.
"""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from authserver.rules.facts import Span
from authserver.rules.names import audience_fault

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_NETWORKS: Final = 50
MAX_AUDIENCES: Final = 50
MIN_LIFETIME: Span = 60
MAX_LIFETIME: Span = 24 * 3600


@dataclass(frozen=True, slots=True)
class Restrictions:
    """``networks`` and ``audiences`` are empty for any; ``lifetime`` is in seconds, 0 for the general maximum.

    ``bound`` says that its tokens must be bound to a key (RFC 9449).
    """

    networks: tuple[Network, ...] = ()
    audiences: frozenset[str] = frozenset()
    lifetime: Span = 0
    bound: bool = False

    @property
    def text(self) -> str | None:
        """The stored text; None without any restriction."""
        members: dict[str, Any] = {}
        if self.networks:
            members["networks"] = [str(each) for each in self.networks]
        if self.audiences:
            members["audiences"] = sorted(self.audiences)
        if self.lifetime:
            members["lifetime"] = self.lifetime
        if self.bound:
            members["bound"] = True
        return json.dumps(members, separators=(",", ":")) if members else None

    def admits(self, peer: str) -> bool:
        """Whether requests may come from ``peer``; a text that is no address only where there is no restriction."""
        if not self.networks:
            return True
        address = _address(peer)
        return address is not None and any(address in each for each in self.networks)


NONE: Final = Restrictions()


@lru_cache(maxsize=1024)
def restrictions_of(text: str | None) -> Restrictions:
    """Parse the stored text.

    An unknown member of a newer version is refused, since ignoring a restriction would lift it (INV-24).

    Raises:
        ValueError: a member is unknown or malformed.
    """
    if text is None:
        return NONE
    members = json.loads(text)
    if not isinstance(members, dict) or members.keys() - {"networks", "audiences", "lifetime", "bound"}:
        msg = "a restriction is not known to this version"
        raise ValueError(msg)
    return Restrictions(
        networks=tuple(ipaddress.ip_network(each) for each in members.get("networks", ())),
        audiences=frozenset(members.get("audiences", ())),
        lifetime=members.get("lifetime", 0),
        bound=members.get("bound", False),
    )


def restrictions(
    networks: Iterable[str] = (), audiences: Iterable[str] = (), lifetime: Span = 0, *, bound: bool = False
) -> Restrictions:
    """Parse restrictions.

    Raises:
        ValueError: the text says what to write instead.
    """
    nets, uris = [_network(each) for each in networks], frozenset(audiences)
    if len(nets) > MAX_NETWORKS or len(uris) > MAX_AUDIENCES:
        msg = f"name {MAX_NETWORKS} networks and {MAX_AUDIENCES} resource servers at most"
        raise ValueError(msg)
    for uri in uris:
        fault = audience_fault(uri)
        if fault:
            raise ValueError(fault)
    if lifetime and not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        msg = "a token of a restricted credential lives for 1 minute to 24 hours"
        raise ValueError(msg)
    return Restrictions(tuple(sorted(set(nets), key=str)), uris, lifetime, bound)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        msg = "a network is written as 192.0.2.0/24 or 2001:db8::/32, with no bits set behind the slash"
        raise ValueError(msg) from None


@lru_cache(maxsize=1024)
def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address; an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) becomes the IPv4 address."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
