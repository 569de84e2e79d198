"""The throttle of failed authentication; a request that succeeds is never limited.

Credentials are checked first; only refused requests are counted here. So an
attacker who knows a client id cannot lock the client out: the requests of the
client succeed, so they are never counted and never answered 429.

Three rules, each a leaky bucket (GCRA): failed authentication per claimed client
id and per network address, and texts that are no token for the resource server
that introspects them (RFC 7662 §4, token scanning). Memory is bounded; a bucket
belongs to one process.
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
from functools import lru_cache
from typing import Literal, NamedTuple

PER_CLIENT = 60
PER_PEER = 1200
PER_RESOURCE_SERVER = 1000
"""Failures a minute that get their own answer; further ones get 429."""

_WINDOW = 60.0
_MAX_KEYS = 20_000
_MAX_ID = 256
_IPV6_PREFIX = 64


class FailedAttempt(NamedTuple):
    """A refusal that counts: a failed ``client`` authentication, or a bad ``token`` from a resource server.

    ``subject`` is the claimed client id, empty when none was legible.
    """

    kind: Literal["client", "token"]
    subject: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The limit is passed: of which rule, and how many seconds to wait."""

    rule: Literal["client_failures", "peer_failures", "bad_tokens"]
    wait: int


class Throttle:
    """Counts failed attempts; safe to share between threads and endpoints."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        per_client: int = PER_CLIENT,
        per_peer: int = PER_PEER,
        per_resource_server: int = PER_RESOURCE_SERVER,
        max_keys: int = _MAX_KEYS,
    ) -> None:
        self._clock = clock
        self._clients = Buckets(per_client, max_keys)
        self._peers = Buckets(per_peer, max_keys)
        self._callers = Buckets(per_resource_server, max_keys)
        self._lock = threading.Lock()

    def count(self, failed_attempt: FailedAttempt, peer: str) -> Throttled | None:
        """Count a failed attempt; ``Throttled`` when it is past a limit.

        A peer past its limit makes no new buckets, so it cannot push others out of memory.
        """
        with self._lock:
            now = self._clock()
            if failed_attempt.kind == "token":
                wait = self._callers.take(subject_key(failed_attempt.subject), now)
                return Throttled("bad_tokens", math.ceil(wait)) if wait else None
            wait = self._peers.take(_peer_key(peer), now)
            if wait:
                return Throttled("peer_failures", math.ceil(wait))
            wait = self._clients.take(subject_key(failed_attempt.subject), now) if failed_attempt.subject else 0.0
            return Throttled("client_failures", math.ceil(wait)) if wait else None


class Buckets:
    """Leaky buckets: for each key the instant its bucket will be empty; least recently used keys are dropped first.

    Not thread-safe.
    """

    def __init__(self, per_minute: int, max_keys: int) -> None:
        self._step = _WINDOW / per_minute
        self._max_keys = max_keys
        self._empty_at: OrderedDict[bytes, float] = OrderedDict()

    def take(self, key: bytes, now: float) -> float:
        """Add one if the bucket is not full; else the seconds to wait."""
        empty_at = max(self._empty_at.get(key, now), now)
        over = empty_at + self._step - now - _WINDOW
        full = over > 1e-6  # noqa: PLR2004 - floats of a bucket that is exactly full
        self._empty_at[key] = empty_at if full else empty_at + self._step
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > self._max_keys:
            self._empty_at.popitem(last=False)
        return over if full else 0.0

    def add(self, key: bytes, now: float, number: int) -> None:
        """Add ``number`` to the bucket, even past its capacity."""
        self._empty_at[key] = max(self._empty_at.get(key, now), now) + number * self._step


_SALT = os.urandom(16)


def subject_key(claimed: str) -> bytes:
    """One key for all spellings of an id that a lenient database might compare as equal."""
    cut = claimed[:_MAX_ID]
    if cut.isascii() and cut.isprintable() and " " not in cut:
        plain = cut.lower()  # the same for what every real id is, without a look at each character
    else:
        folded = unicodedata.normalize("NFKC", cut).casefold()
        plain = "".join(char for char in folded if char.isprintable() and not char.isspace())
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16, key=_SALT).digest()


@lru_cache(maxsize=4096)
def _peer_key(peer: str) -> bytes:
    """The key of an IPv4 address, or of the /64 of an IPv6 address: one site has 2^64 of them."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:_MAX_ID].encode("utf-8", "surrogatepass")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.packed if mapped.version == 4 else mapped.packed[: _IPV6_PREFIX // 8]  # noqa: PLR2004 - IPv4
