"""Restrictions of a credential beside its roles: where from, for whom, how long, how many, how often, bound.

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
MAX_SESSIONS: Final = 1000
MAX_RATE: Final = 6000


@dataclass(frozen=True, slots=True)
class Restrictions:
    """``networks`` and ``audiences`` are empty for any; ``lifetime`` is in seconds, 0 for the general maximum.

    ``bound`` says that its tokens must be bound to a key (RFC 9449). ``sessions`` may live at once, 0 for any number;
    one more ends the oldest if ``end_oldest``, and is refused if not. ``rate`` is token requests a minute, 0 for any.
    """

    networks: tuple[Network, ...] = ()
    audiences: frozenset[str] = frozenset()
    lifetime: Span = 0
    bound: bool = False
    sessions: int = 0
    end_oldest: bool = False
    rate: int = 0

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
        if self.sessions:
            members["sessions"] = self.sessions
        if self.end_oldest:
            members["end_oldest"] = True
        if self.rate:
            members["rate"] = self.rate
        return json.dumps(members, separators=(",", ":")) if members else None

    def admits(self, peer: str) -> bool:
        """Whether requests may come from ``peer``; a text that is no address only where there is no restriction."""
        if not self.networks:
            return True
        address = _address(peer)
        return address is not None and any(address in each for each in self.networks)


NONE: Final = Restrictions()
_MEMBERS: Final = frozenset({"networks", "audiences", "lifetime", "bound", "sessions", "end_oldest", "rate"})


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
    if not isinstance(members, dict) or members.keys() - _MEMBERS:
        msg = "a restriction is not known to this version"
        raise ValueError(msg)
    return Restrictions(
        networks=tuple(ipaddress.ip_network(each) for each in members.get("networks", ())),
        audiences=frozenset(members.get("audiences", ())),
        lifetime=members.get("lifetime", 0),
        bound=members.get("bound", False),
        sessions=members.get("sessions", 0),
        end_oldest=members.get("end_oldest", False),
        rate=members.get("rate", 0),
    )


def restrictions(
    networks: Iterable[str] = (),
    audiences: Iterable[str] = (),
    lifetime: Span = 0,
    *,
    bound: bool = False,
    sessions: int = 0,
    end_oldest: bool = False,
    rate: int = 0,
) -> Restrictions:
    """Parse restrictions; the arguments are the fields of ``Restrictions``.

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
    if not (0 <= sessions <= MAX_SESSIONS and 0 <= rate <= MAX_RATE):
        msg = f"hold a credential to 1 to {MAX_SESSIONS} live sessions, and 1 to {MAX_RATE} token requests a minute"
        raise ValueError(msg)
    if end_oldest and not sessions:
        msg = "say how many sessions may live before the oldest ends"
        raise ValueError(msg)
    return Restrictions(tuple(sorted(set(nets), key=str)), uris, lifetime, bound, sessions, end_oldest, rate)


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
