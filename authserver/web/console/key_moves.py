"""What may be done to signing keys from here, and when: the console's only way to the key ring.

A key signs only after it has been published for longer than a verifier may keep
the JWKS (INV-14); where no key is staged, "rotate" publishes one and asks to
come back. In an emergency nothing waits: that is "compromise".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from authserver.ports import Conflict, NotFound
from authserver.rules.facts import Instant
from authserver.web.console.here import Here
from keys.keyring import KeyInfo, State
from keys.material import ALGORITHMS, make
from keys.rotation import JWKS_MAX_AGE, SHORTEST_ANNOUNCEMENT, published_until

MAX_AGE = JWKS_MAX_AGE
OFFERED = ALGORITHMS


class TooYoung(Conflict):
    """The key is announced and may sign from ``since``."""

    def __init__(self, since: Instant) -> None:
        super().__init__("This key was published a moment ago, and verifiers may not know it yet.")
        self.since = since


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes next for an algorithm; ``may_sign_from`` is of the staged key, ``next_at`` None for "by hand"."""

    alg: str
    staged: KeyInfo | None
    may_sign_from: Instant | None
    next_at: Instant | None


def may_sign_from(key: KeyInfo) -> Instant:
    """The first instant a staged key may sign at."""
    return key.created_at + SHORTEST_ANNOUNCEMENT


def leaves_at(key: KeyInfo) -> Instant:
    """The instant from which a retired key may leave the JWKS: its last token is over."""
    return published_until(key)


def outlooks(ring: Sequence[KeyInfo]) -> tuple[Outlook, ...]:
    """What comes next, for every algorithm that has a key."""
    found = []
    for alg in sorted({key.alg for key in ring if key.state in {State.ACTIVE, State.STAGED}}):
        staged = _staged(ring, alg)
        found.append(Outlook(alg, staged, may_sign_from(staged) if staged else None, None))
    return tuple(found)


def generate(at: Here, alg: str) -> KeyInfo:
    """Make a key and publish it."""
    return at.store.keys.add(make(alg, at.house.master()), at.who["actor"], at.now)


def rotate(at: Here, alg: str) -> KeyInfo:
    """Let the staged key sign; where none is staged but one signs, publish one instead and return it, staged.

    Raises:
        TooYoung: the staged key was published too short a while ago.
    """
    ring = at.store.keys.ring()
    staged = _staged(ring, alg)
    signing = any(key.alg == alg and key.state is State.ACTIVE for key in ring)
    if staged is None and signing:
        return generate(at, alg)
    if staged is not None and signing:
        _wait_for(staged, at.now)
    kid = at.store.keys.rotate(alg, make(alg, at.house.master()), at.who["actor"], at.now)
    return at.store.keys.get(kid)


def retire(at: Here, kid: str) -> None:
    """Take the active key out of signing; the staged one takes over.

    Raises:
        Conflict: it is not active, none is staged, or the staged one is too young.
    """
    key = one(at, kid)
    staged = _staged(at.store.keys.ring(), key.alg)
    if key.state is State.ACTIVE and staged is not None:
        _wait_for(staged, at.now)
    at.store.keys.retire(kid, at.who["actor"], at.now)


def compromise(at: Here, kid: str) -> None:
    """Kill a key and every token it signed; another signs at once."""
    key = one(at, kid)
    at.store.keys.compromise(kid, at.who["actor"], at.now, make(key.alg, at.house.master()))


def withdraw(at: Here, kid: str) -> None:
    """Take a retired key out of the JWKS.

    Raises:
        Conflict: a token it signed may live.
    """
    one(at, kid)
    at.store.keys.remove(kid, at.who["actor"], at.now)


def one(at: Here, kid: str) -> KeyInfo:
    """One key by its whole id; ``NotFound`` else."""
    for key in at.store.keys.ring():
        if key.kid == kid:
            return key
    raise NotFound(kid)


def _staged(ring: Sequence[KeyInfo], alg: str) -> KeyInfo | None:
    return next((key for key in ring if key.alg == alg and key.state is State.STAGED), None)


def _wait_for(key: KeyInfo, now: Instant) -> None:
    if now < may_sign_from(key):
        raise TooYoung(may_sign_from(key))
