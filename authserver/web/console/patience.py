"""Slows down who guesses passwords, and locks nobody out.

After a few wrong passwords for a name from one address, the next try has to wait:
1, 2, 4 … at most 60 seconds, whoever asks; a try that comes too early is not
looked at and makes nothing longer. Each address has a patience of its own, so
nobody elsewhere can keep the owner of a name from signing in; where a name fails
from many addresses, each new one gets fewer free tries. An address that fails
with many names waits for all of them. Memory is bounded; it belongs to one process.
"""

import hashlib
import ipaddress
import math
import os
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""Wrong passwords for a name from an address before the next try waits."""

FREE_UNDER_ATTACK: Final = 1
MANY_OF_NAME: Final = 50
"""Failures of one name from everywhere that make it one under attack."""

FREE_OF_ADDRESS: Final = 50
"""Failures from one address, with whatever names, before every try from it waits."""

LONGEST: Final = 60
"""The longest wait in seconds."""

FORGOTTEN: Final = 15 * 60.0
"""Seconds without a failure after which it is as if there had been none."""

_REMEMBERED: Final = 20_000
_IPV6_SITE: Final = 8
_MAX_NAME: Final = 256
_SALT: Final = os.urandom(16)


@dataclass(slots=True)
class _Past:
    failures: int = 0
    last: float = 0.0


class Patience:
    """Counts tries; safe to share between threads. Each try counts as a failure until it is told to be none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, remembered: int = _REMEMBERED) -> None:
        self._clock, self._remembered = clock, remembered
        self._pairs: OrderedDict[bytes, _Past] = OrderedDict()
        self._names: OrderedDict[bytes, _Past] = OrderedDict()
        self._peers: OrderedDict[bytes, _Past] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, name: str, peer: str) -> int:
        """Count a try; the whole seconds to wait when it comes too early and must not be looked at, else 0."""
        name_key, peer_key = _name_key(name), _peer_key(peer)
        with self._lock:
            now = self._clock()
            of_peer = self._past(self._peers, peer_key, now)
            # Told apart before anything is made: an address that waits makes no new entries.
            wait = _wait(of_peer, FREE_OF_ADDRESS, now)
            if wait:
                return wait
            of_name = self._past(self._names, name_key, now)
            free = FREE if of_name.failures < MANY_OF_NAME else FREE_UNDER_ATTACK
            pair = self._past(self._pairs, name_key + peer_key, now)
            wait = _wait(pair, free, now)
            if wait:
                return wait
            for past in (of_peer, of_name, pair):
                past.failures, past.last = past.failures + 1, now
            return 0

    def succeeded(self, name: str, peer: str) -> None:
        """Take back the try: the password was right."""
        name_key, peer_key = _name_key(name), _peer_key(peer)
        with self._lock:
            self._pairs.pop(name_key + peer_key, None)
            for kept, key in ((self._names, name_key), (self._peers, peer_key)):
                if key in kept:
                    kept[key].failures = max(kept[key].failures - 1, 0)

    def _past(self, kept: OrderedDict[bytes, _Past], key: bytes, now: float) -> _Past:
        past = kept.get(key)
        if past is None or now - past.last > FORGOTTEN:
            past = kept[key] = _Past(last=now)
        kept.move_to_end(key)
        if len(kept) > self._remembered:
            kept.popitem(last=False)
        return past


def _wait(past: _Past, free: int, now: float) -> int:
    beyond = past.failures - free
    if beyond < 0:
        return 0
    return max(math.ceil(past.last + min(2.0 ** min(beyond, 10), LONGEST) - now), 0)


def _name_key(name: str) -> bytes:
    """One key for all spellings that might be taken for the same name."""
    folded = unicodedata.normalize("NFKC", name[:_MAX_NAME]).casefold()
    plain = "".join(char for char in folded if char.isprintable() and not char.isspace())
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16, key=_SALT).digest()


def _peer_key(peer: str) -> bytes:
    """An IPv4 address, or the site an IPv6 address belongs to."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:_MAX_NAME].encode("utf-8", "surrogatepass")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.packed if mapped.version == 4 else mapped.packed[:_IPV6_SITE]  # noqa: PLR2004 - IPv4
