"""Slows down password guessing without locking an account.

After a few wrong passwords for a name from one address, the next try has to wait:
1, 2, 4 … at most 60 seconds, whoever asks; a try that comes too early is not
looked at and makes nothing longer. Each address is counted separately, so
nobody elsewhere can keep the owner of a name from signing in; where a name fails
from many addresses, each new one gets fewer free tries. An address that fails
with many names waits for all of them. All processes of all nodes count together.
"""

import hashlib
import hmac
import ipaddress
import unicodedata
from collections.abc import Sequence
from typing import Final

from authserver.ports.sign_in import LoginAttemptCounter, LoginAttempts
from authserver.rules.facts import Instant, Span

FREE_ATTEMPTS: Final = 5
"""Wrong passwords for a name from an address before the next try waits."""

FREE_ATTEMPTS_UNDER_ATTACK: Final = 1
NAME_UNDER_ATTACK_FAILURES: Final = 50
"""Failures of one name from everywhere that make it one under attack."""

FREE_ATTEMPTS_PER_ADDRESS: Final = 50
"""Failures from one address, with whatever names, before every try from it waits."""

MAX_WAIT: Final[Span] = 60
"""The longest wait in seconds."""

_IPV6_NETWORK_BYTES: Final = 8
_MAX_NAME: Final = 256


class LoginThrottle:
    """Limits attempts at ``now``. Each counts as a failure until ``succeeded`` is called."""

    def __init__(self, login_attempts: LoginAttemptCounter, pepper: bytes, now: Instant) -> None:
        self._attempts, self._pepper, self._now = login_attempts, pepper, now

    def begin(self, name: str, peer: str) -> Span:
        """Count a try; the whole seconds to wait when it comes too early and must not be looked at, else 0.

        Raises:
            Unavailable: the database cannot be reached, so nobody is let in.
        """
        peer_key, name_key, pair_key = self._keys(name, peer)
        # Checked before anything is written: an address that waits leaves no row.
        wait = _wait(self._attempts.past(peer_key), FREE_ATTEMPTS_PER_ADDRESS, self._now)
        return wait or self._attempts.count((peer_key, name_key, pair_key), self._now, self._required_wait)

    def succeeded(self, name: str, peer: str) -> None:
        """Take back the try: the password was right."""
        peer_key, name_key, pair_key = self._keys(name, peer)
        self._attempts.forget(pair_key)
        for key in sorted((peer_key, name_key)):
            self._attempts.take_back(key)

    def _required_wait(self, pasts: Sequence[LoginAttempts]) -> Span:
        peer_key, name_key, pair_key = (past.at(self._now) for past in pasts)
        free = FREE_ATTEMPTS if name_key.failures < NAME_UNDER_ATTACK_FAILURES else FREE_ATTEMPTS_UNDER_ATTACK
        return _wait(peer_key, FREE_ATTEMPTS_PER_ADDRESS, self._now) or _wait(pair_key, free, self._now)

    def _keys(self, name: str, peer: str) -> tuple[str, str, str]:
        """The keys under which an address, a name, and both are counted; the name cannot be derived from them."""
        normalized, network = _normalized(name), _network(peer)
        return self._key(b"peer", network), self._key(b"name", normalized), self._key(b"pair", normalized, network)

    def _key(self, *parts: bytes) -> str:
        encoded = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._pepper, b"console-patience" + encoded, hashlib.sha256).hexdigest()


def _wait(past: LoginAttempts, free: int, now: Instant) -> Span:
    past = past.at(now)
    beyond = past.failures - free
    return max(past.last_at + min(2 ** min(beyond, 10), MAX_WAIT) - now, 0) if beyond >= 0 else 0


def _normalized(name: str) -> bytes:
    """The same for all spellings that might be taken for the same name."""
    folded = unicodedata.normalize("NFKC", name[:_MAX_NAME]).casefold()
    normalized = "".join(char for char in folded if char.isprintable() and not char.isspace())
    return normalized.encode("utf-8", "surrogatepass")


def _network(peer: str) -> bytes:
    """An IPv4 address, or the site an IPv6 address belongs to."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:_MAX_NAME].encode("utf-8", "surrogatepass")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.packed if mapped.version == 4 else mapped.packed[:_IPV6_NETWORK_BYTES]  # noqa: PLR2004 - IPv4
