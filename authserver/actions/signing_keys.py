"""The life of the signing keys: announce, let sign, retire, withdraw; by hand, by the calendar, or in an emergency.

A key signs only after it has been published for the announcement and every resource
server that fetches the JWKS has been given it (INV-14). Who cannot wait says why: the
reason goes into the audit record. What is decided here from the ring is asked again
inside the transaction, so of many nodes that act at once one wins and none does harm.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.ports import (
    Accounts,
    Conflict,
    GeneralSettings,
    Invalid,
    ResourceServer,
    SigningKeys,
    Unavailable,
    Verifier,
    Verifiers,
    always,
)
from authserver.rules.facts import Instant
from authserver.rules.readiness import Fetcher, laggards
from keys.keyring import KeyInfo, State
from keys.material import NewKey, PrivateKey, UnusableKey
from keys.rotation import DAY, Generate, Policy, Promote, Step, Withdraw, forecast, may_sign_from, plan

HOUR = 3600
MAX_REASON = 200
_MOST_ROUNDS = 4
"""A tick is over when nothing is due any more; each algorithm needs two rounds at most."""


class Holder(Protocol):
    """Where new keys are kept (``keys.holders.KeyHolder``)."""

    def make(self, alg: str) -> NewKey:
        """Make a key."""
        ...

    def adopt(self, private: PrivateKey, alg: str) -> NewKey:
        """Take in a key made elsewhere."""
        ...

    def destroy(self, reference: bytes) -> None:
        """Destroy one."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """The keys, where new ones are kept, how they rotate, and who fetches them."""

    keys: SigningKeys
    holder: Holder
    policy: Policy
    fetchers: tuple[Fetcher, ...]
    emergency: Holder | None = None
    """Where a key is made when the other place is away and cannot be waited for."""

    def waits_for(self, key: KeyInfo, now: Instant) -> tuple[str, ...]:
        """The resource servers that have not been given a key yet."""
        return tuple(each.name for each in laggards(key.kid, self.fetchers, now))

    def ripe(self, key: KeyInfo, now: Instant) -> bool:
        """Whether a key has been published for its announcement."""
        return now >= may_sign_from(key, self.policy)


def room(
    accounts: Accounts, keys: SigningKeys, holder: Holder, verifiers: Verifiers, emergency: Holder | None = None
) -> Room:
    """Read how keys rotate from the settings, and who fetches them from the record."""
    general, servers = accounts.general(), accounts.resource_servers()
    return Room(keys, holder, policy_of(general, servers), fetchers_of(servers, verifiers.all()), emergency)


def policy_of(general: GeneralSettings, servers: Sequence[ResourceServer]) -> Policy:
    """The rotation policy the general settings describe, for the algorithms that are in use."""
    used = {general.token_alg, *(each.token_alg for each in servers if each.token_alg and each.disabled_at is None)}
    return Policy(
        algorithms=tuple(sorted(used)),
        announcement=general.key_announcement_hours * HOUR,
        period=general.key_rotation_days * DAY or None,
        patience=general.key_patience_hours * HOUR,
    )


def fetchers_of(servers: Sequence[ResourceServer], known: Sequence[Verifier]) -> tuple[Fetcher, ...]:
    """The enabled resource servers that made themselves known, by name."""
    by_id = {each.name: each for each in known if each.kind == "resource_server"}
    return tuple(
        Fetcher(server.name, by_id[server.id].last_fetched_at, by_id[server.id].seen)
        for server in servers
        if server.disabled_at is None and server.id in by_id
    )


def generate(room: Room, alg: str, *, actor: str, now: Instant) -> KeyInfo:
    """Make a key and publish it.

    Raises:
        Invalid: the holder has no keys for ``alg``.
        Unavailable: the holder cannot be reached.
    """
    return _taken(room, _made(room, alg), actor, now)


def adopt(room: Room, private: PrivateKey, alg: str, *, actor: str, now: Instant) -> KeyInfo:
    """Take in a key made elsewhere and publish it.

    Raises:
        Invalid: the holder takes no such key.
        Conflict: the ring has it already.
    """
    try:
        new = room.holder.adopt(private, alg)
    except UnusableKey as error:
        raise Invalid(str(error)) from error
    if any(key.kid == new.kid for key in room.keys.ring()):
        # Not destroyed: where keys are files, the file is the one the ring has.
        msg = f"key {new.kid} is in the ring already, or was once; a key is never taken twice"
        raise Conflict(msg)
    return _taken(room, new, actor, now)


def _taken(room: Room, new: NewKey, actor: str, now: Instant) -> KeyInfo:
    try:
        return room.keys.add(new, actor, now)
    except Conflict:
        room.holder.destroy(new.sealed_private)
        raise


def first(room: Room, alg: str, *, actor: str, now: Instant) -> bool:
    """Let a new key sign where none does; False when there is one, also when it came a moment ago."""
    if any(key.alg == alg and key.state is State.ACTIVE for key in room.keys.ring()):
        return False
    new = _made(room, alg)
    taken = room.keys.ensure_active(new, actor, now)
    if not taken:
        room.holder.destroy(new.sealed_private)
    return taken


def rotate(room: Room, alg: str, *, actor: str, now: Instant, reason: str = "") -> KeyInfo:
    """Change the key that signs, as soon as that is safe; or, for a reason, now.

    Where none is staged one is made and returned, staged: it may sign after its
    announcement. Where no key signs at all, one does at once.

    Raises:
        Conflict: the staged key is too young, or a resource server has not fetched it yet.
        Invalid: the reason is no sentence, or the holder has no keys for ``alg``.
    """
    _check(reason)
    active, staged = _of(room.keys.ring(), alg)
    if staged is None and active is not None and not reason:
        new = _made(room, alg)
        if not room.keys.ensure_staged(new, actor, now):
            room.holder.destroy(new.sealed_private)
        return next(key for key in room.keys.ring() if key.alg == alg and key.state is State.STAGED)
    if active is None or reason:
        spare = None if staged else _made(room, alg)
        return room.keys.get(room.keys.rotate(alg, spare, actor, now, reason=reason))
    if staged is not None:
        _check_ready(room, staged, now)
    return room.keys.get(room.keys.rotate(alg, None, actor, now, ripe=lambda key: room.ripe(key, now), reason=reason))


def activate(room: Room, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Let one staged key sign.

    Raises:
        Conflict: it is not staged, too young, or a resource server has not fetched it yet.
    """
    _check(reason)
    key = room.keys.get(kid)
    active, _ = _of(room.keys.ring(), key.alg)
    careful = key.state is State.STAGED and active is not None and not reason
    if careful:
        _check_ready(room, key, now)
    room.keys.activate(
        key.kid, actor, now, ripe=(lambda each: room.ripe(each, now)) if careful else always, reason=reason
    )


def retire(room: Room, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Take the active key out of signing; the oldest staged one takes over.

    Raises:
        Conflict: it is not active, or no staged key may follow it yet.
    """
    _check(reason)
    key = room.keys.get(kid)
    _, staged = _of(room.keys.ring(), key.alg)
    if key.state is State.ACTIVE and staged is not None and not reason and key.alg in room.policy.algorithms:
        _check_ready(room, staged, now)
    room.keys.retire(key.kid, actor, now, ripe=always if reason else lambda each: room.ripe(each, now), reason=reason)


def compromise(room: Room, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Kill a key and every token it signed; a staged key takes over at once, else a fresh one.

    Raises:
        Conflict: it is compromised already.
    """
    _check(reason)
    key = room.keys.get(kid)
    _, staged = _of(room.keys.ring(), key.alg, but=key.kid)
    spare = _spare(room, key.alg) if key.state is State.ACTIVE and staged is None else None
    try:
        room.keys.compromise(key.kid, actor, now, spare, reason=reason)
    finally:
        if spare is not None and not any(each.kid == spare.kid for each in room.keys.ring()):
            room.holder.destroy(spare.sealed_private)


def _spare(room: Room, alg: str) -> NewKey:
    """Make a key whatever it takes: a key in wrong hands must be killed also while the HSM is away."""
    try:
        return _made(room, alg)
    except (Unavailable, Invalid):
        if room.emergency is None:
            raise
        return room.emergency.make(alg)


def tick(room: Room, *, actor: str, now: Instant) -> tuple[Step, ...]:
    """Do what is due; what was done here. Whoever comes second, on any node, finds nothing to do."""
    done: list[Step] = []
    for _ in range(_MOST_ROUNDS):
        steps = plan(room.keys.ring(), now, room.policy, lambda key: not room.waits_for(key, now))
        taken = [step for step in steps if _done(room, step, actor, now)]
        done.extend(taken)
        if not taken:
            break
    return tuple(done)


def months_ahead(room: Room, now: Instant, days: int) -> tuple[tuple[Instant, Step], ...]:
    """What will be due in so many days, if nobody intervenes and verifiers keep fetching."""
    return forecast(room.keys.ring(), now, room.policy, now + days * DAY)


def _done(room: Room, step: Step, actor: str, now: Instant) -> bool:
    try:
        if isinstance(step, Generate):
            new = _made(room, step.alg)
            taken = room.keys.ensure_staged(new, actor, now)
            if not taken:
                room.holder.destroy(new.sealed_private)
            return taken
        if isinstance(step, Promote):
            active, _ = _of(room.keys.ring(), room.keys.get(step.kid).alg)
            ripe = always if active is None else lambda key: room.ripe(key, now)
            room.keys.activate(step.kid, actor, now, ripe=ripe)
        if isinstance(step, Withdraw):
            room.keys.remove(step.kid, actor, now)
    except Conflict:
        # Another node did it, or something that makes it wrong by now.
        return False
    return True


def _made(room: Room, alg: str) -> NewKey:
    try:
        return room.holder.make(alg)
    except UnusableKey as error:
        msg = f"no key can be made: {error}"
        raise Unavailable(msg) from error
    except ValueError as error:
        raise Invalid(str(error)) from error


def _of(ring: Sequence[KeyInfo], alg: str, but: str = "") -> tuple[KeyInfo | None, KeyInfo | None]:
    """The active and the oldest staged key of an algorithm."""
    mine = [key for key in ring if key.alg == alg and key.kid != but]
    active = next((key for key in mine if key.state is State.ACTIVE), None)
    return active, next((key for key in mine if key.state is State.STAGED), None)


def _check_ready(room: Room, key: KeyInfo, now: Instant) -> None:
    """Refuse to let a key sign that a verifier may not know.

    Raises:
        Conflict: with the instant from which it may.
    """
    ripe = may_sign_from(key, room.policy)
    force = "if it cannot wait, say why: --force --reason TEXT"
    if now < ripe:
        msg = f"key {key.kid} is announced until {_told(ripe)} and may sign from then on; {force}"
        raise Conflict(msg)
    late = room.waits_for(key, now)
    deadline = ripe + room.policy.patience
    if late and now < deadline:
        msg = f"{', '.join(late)} has not fetched key {key.kid} yet; it is waited for until {_told(deadline)}; {force}"
        raise Conflict(msg)


def _check(reason: str) -> None:
    if len(reason) > MAX_REASON or not reason.isprintable() or (reason and not reason.strip()):
        msg = f"a reason is one line of 1 to {MAX_REASON} characters"
        raise Invalid(msg)


def _told(at: Instant) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
