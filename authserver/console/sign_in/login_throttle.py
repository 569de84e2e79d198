"""Slows down who guesses passwords, and locks nobody out.

After a few wrong passwords for a name from one address, the next try has to wait:
1, 2, 4 … at most 60 seconds, whoever asks; a try that comes too early is not
looked at and makes nothing longer. Each address has a patience of its own, so
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

FREE: Final = 5
"""Wrong passwords for a name from an address before the next try waits."""

FREE_UNDER_ATTACK: Final = 1
MANY_OF_NAME: Final = 50
"""Failures of one name from everywhere that make it one under attack."""

FREE_OF_ADDRESS: Final = 50
"""Failures from one address, with whatever names, before every try from it waits."""

LONGEST: Final[Span] = 60
"""The longest wait in seconds."""

_IPV6_SITE: Final = 8
_MAX_NAME: Final = 256


class LoginThrottle:
    """Judges tries at ``now``. Each counts as a failure until it is told to be none."""

    def __init__(self, login_attempts: LoginAttemptCounter, pepper: bytes, now: Instant) -> None:
        self._attempts, self._pepper, self._now = login_attempts, pepper, now

    def begin(self, name: str, peer: str) -> Span:
        """Count a try; the whole seconds to wait when it comes too early and must not be looked at, else 0.

        Raises:
            Unavailable: the database cannot be reached, so nobody is let in.
        """
        of_peer, of_name, pair = self._keys(name, peer)
        # Told apart before anything is written: an address that waits leaves nothing behind.
        wait = _wait(self._attempts.past(of_peer), FREE_OF_ADDRESS, self._now)
        return wait or self._attempts.count((of_peer, of_name, pair), self._now, self._judge)

    def succeeded(self, name: str, peer: str) -> None:
        """Take back the try: the password was right."""
        of_peer, of_name, pair = self._keys(name, peer)
        self._attempts.forget(pair)
        for key in sorted((of_peer, of_name)):
            self._attempts.take_back(key)

    def _judge(self, pasts: Sequence[LoginAttempts]) -> Span:
        of_peer, of_name, pair = (past.at(self._now) for past in pasts)
        free = FREE if of_name.failures < MANY_OF_NAME else FREE_UNDER_ATTACK
        return _wait(of_peer, FREE_OF_ADDRESS, self._now) or _wait(pair, free, self._now)

    def _keys(self, name: str, peer: str) -> tuple[str, str, str]:
        """What an address, a name, and both together are counted under; nobody can tell the name from it."""
        plain, site = _plain(name), _site(peer)
        return self._key(b"peer", site), self._key(b"name", plain), self._key(b"pair", plain, site)

    def _key(self, *parts: bytes) -> str:
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._pepper, b"console-patience" + told, hashlib.sha256).hexdigest()


def _wait(past: LoginAttempts, free: int, now: Instant) -> Span:
    past = past.at(now)
    beyond = past.failures - free
    return max(past.last_at + min(2 ** min(beyond, 10), LONGEST) - now, 0) if beyond >= 0 else 0


def _plain(name: str) -> bytes:
    """The same for all spellings that might be taken for the same name."""
    folded = unicodedata.normalize("NFKC", name[:_MAX_NAME]).casefold()
    plain = "".join(char for char in folded if char.isprintable() and not char.isspace())
    return plain.encode("utf-8", "surrogatepass")


def _site(peer: str) -> bytes:
    """An IPv4 address, or the site an IPv6 address belongs to."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:_MAX_NAME].encode("utf-8", "surrogatepass")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.packed if mapped.version == 4 else mapped.packed[:_IPV6_SITE]  # noqa: PLR2004 - IPv4
