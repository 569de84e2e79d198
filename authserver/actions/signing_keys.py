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

from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid, Unavailable
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.jwks_fetchers import JwksFetcher, JwksFetchers
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.signing_keys import SigningKeys, always
from authserver.rules.facts import Instant
from authserver.rules.key_readiness import Fetcher, fetchers_behind
from keys.keyring import KeyInfo, State
from keys.material import NewKey, PrivateKey, UnusableKey
from keys.rotation import DAY, Generate, Policy, Promote, Step, Withdraw, forecast, may_sign_from, plan

HOUR = 3600
MAX_REASON = 200
_MOST_ROUNDS = 4
"""A tick is over when nothing is due any more; each algorithm needs two rounds at most."""


class KeyStore(Protocol):
    """Where new keys are kept (``keys.key_stores.KeyHolder``)."""

    def make(self, alg: str) -> NewKey:
        """Make a key."""
        ...

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:
        """Take in a key made elsewhere."""
        ...

    def destroy(self, reference: bytes) -> None:
        """Destroy one."""
        ...


@dataclass(frozen=True, slots=True)
class KeyContext:
    """The keys, where new ones are kept, how they rotate, and who fetches them."""

    keys: SigningKeys
    key_store: KeyStore
    policy: Policy
    fetchers: tuple[Fetcher, ...]
    emergency: KeyStore | None = None
    """Where a key is made when the other place is away and cannot be waited for."""

    def waits_for(self, key: KeyInfo, now: Instant) -> tuple[str, ...]:
        """The resource servers that have not been given a key yet."""
        return tuple(each.name for each in fetchers_behind(key.kid, self.fetchers, now))

    def may_sign(self, key: KeyInfo, now: Instant) -> bool:
        """Whether a key has been published for its announcement."""
        return now >= may_sign_from(key, self.policy)


def key_context(
    accounts: Accounts,
    keys: SigningKeys,
    key_store: KeyStore,
    verifiers: JwksFetchers,
    emergency: KeyStore | None = None,
) -> KeyContext:
    """Read how keys rotate from the settings, and who fetches them from the record."""
    general, servers = accounts.general(), accounts.resource_servers()
    return KeyContext(keys, key_store, policy_of(general, servers), fetchers_of(servers, verifiers.all()), emergency)


def policy_of(general: GeneralSettings, servers: Sequence[ResourceServer]) -> Policy:
    """The rotation policy the general settings describe, for the algorithms that are in use."""
    used = {general.token_alg, *(each.token_alg for each in servers if each.token_alg and each.disabled_at is None)}
    return Policy(
        algorithms=tuple(sorted(used)),
        announcement=general.key_announcement_hours * HOUR,
        period=general.key_rotation_days * DAY or None,
        patience=general.key_patience_hours * HOUR,
    )


def fetchers_of(servers: Sequence[ResourceServer], known: Sequence[JwksFetcher]) -> tuple[Fetcher, ...]:
    """The enabled resource servers that made themselves known, by name."""
    by_id = {each.name: each for each in known if each.kind == "resource_server"}
    return tuple(
        Fetcher(server.name, by_id[server.id].last_fetched_at, by_id[server.id].seen)
        for server in servers
        if server.disabled_at is None and server.id in by_id
    )


def generate(key_context: KeyContext, alg: str, *, actor: str, now: Instant) -> KeyInfo:
    """Make a key and publish it.

    Raises:
        Invalid: the key_store has no keys for ``alg``.
        Unavailable: the key_store cannot be reached.
    """
    return _stored(key_context, _made(key_context, alg), actor, now)


def import_key(key_context: KeyContext, private: PrivateKey, alg: str, *, actor: str, now: Instant) -> KeyInfo:
    """Take in a key made elsewhere and publish it.

    Raises:
        Invalid: the key_store takes no such key.
        Conflict: the ring has it already.
    """
    try:
        new = key_context.key_store.import_key(private, alg)
    except UnusableKey as error:
        raise Invalid(str(error)) from error
    if any(key.kid == new.kid for key in key_context.keys.ring()):
        # Not destroyed: where keys are files, the file is the one the ring has.
        msg = f"key {new.kid} is in the ring already, or was once; a key is never taken twice"
        raise Conflict(msg)
    return _stored(key_context, new, actor, now)


def _stored(key_context: KeyContext, new: NewKey, actor: str, now: Instant) -> KeyInfo:
    try:
        return key_context.keys.add(new, actor, now)
    except Conflict:
        key_context.key_store.destroy(new.sealed_private)
        raise


def first(key_context: KeyContext, alg: str, *, actor: str, now: Instant) -> bool:
    """Let a new key sign where none does; False when there is one, also when it came a moment ago."""
    if any(key.alg == alg and key.state is State.ACTIVE for key in key_context.keys.ring()):
        return False
    new = _made(key_context, alg)
    taken = key_context.keys.ensure_active(new, actor, now)
    if not taken:
        key_context.key_store.destroy(new.sealed_private)
    return taken


def rotate(key_context: KeyContext, alg: str, *, actor: str, now: Instant, reason: str = "") -> KeyInfo:
    """Change the key that signs, as soon as that is safe; or, for a reason, now.

    Where none is staged one is made and returned, staged: it may sign after its
    announcement. Where no key signs at all, one does at once.

    Raises:
        Conflict: the staged key is too young, or a resource server has not fetched it yet.
        Invalid: the reason is no sentence, or the key_store has no keys for ``alg``.
    """
    _check(reason)
    active, staged = _of(key_context.keys.ring(), alg)
    if staged is None and active is not None and not reason:
        new = _made(key_context, alg)
        if not key_context.keys.ensure_staged(new, actor, now):
            key_context.key_store.destroy(new.sealed_private)
        return next(key for key in key_context.keys.ring() if key.alg == alg and key.state is State.STAGED)
    if active is None or reason:
        spare = None if staged else _made(key_context, alg)
        return key_context.keys.get(key_context.keys.rotate(alg, spare, actor, now, reason=reason))
    if staged is not None:
        _check_ready(key_context, staged, now)
    return key_context.keys.get(
        key_context.keys.rotate(
            alg, None, actor, now, may_sign=lambda key: key_context.may_sign(key, now), reason=reason
        )
    )


def activate(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Let one staged key sign.

    Raises:
        Conflict: it is not staged, too young, or a resource server has not fetched it yet.
    """
    _check(reason)
    key = key_context.keys.get(kid)
    active, _ = _of(key_context.keys.ring(), key.alg)
    careful = key.state is State.STAGED and active is not None and not reason
    if careful:
        _check_ready(key_context, key, now)
    key_context.keys.activate(
        key.kid,
        actor,
        now,
        may_sign=(lambda each: key_context.may_sign(each, now)) if careful else always,
        reason=reason,
    )


def retire(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Take the active key out of signing; the oldest staged one takes over.

    Raises:
        Conflict: it is not active, or no staged key may follow it yet.
    """
    _check(reason)
    key = key_context.keys.get(kid)
    _, staged = _of(key_context.keys.ring(), key.alg)
    if key.state is State.ACTIVE and staged is not None and not reason and key.alg in key_context.policy.algorithms:
        _check_ready(key_context, staged, now)
    key_context.keys.retire(
        key.kid, actor, now, may_sign=always if reason else lambda each: key_context.may_sign(each, now), reason=reason
    )


def compromise(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Kill a key and every token it signed; a staged key takes over at once, else a fresh one.

    Raises:
        Conflict: it is compromised already.
    """
    _check(reason)
    key = key_context.keys.get(kid)
    _, staged = _of(key_context.keys.ring(), key.alg, but=key.kid)
    spare = _spare(key_context, key.alg) if key.state is State.ACTIVE and staged is None else None
    try:
        key_context.keys.compromise(key.kid, actor, now, spare, reason=reason)
    finally:
        if spare is not None and not any(each.kid == spare.kid for each in key_context.keys.ring()):
            key_context.key_store.destroy(spare.sealed_private)


def _spare(key_context: KeyContext, alg: str) -> NewKey:
    """Make a key whatever it takes: a key in wrong hands must be killed also while the HSM is away."""
    try:
        return _made(key_context, alg)
    except (Unavailable, Invalid):
        if key_context.emergency is None:
            raise
        return key_context.emergency.make(alg)


def tick(key_context: KeyContext, *, actor: str, now: Instant) -> tuple[Step, ...]:
    """Do what is due; what was done here. Whoever comes second, on any node, finds nothing to do."""
    done: list[Step] = []
    for _ in range(_MOST_ROUNDS):
        steps = plan(key_context.keys.ring(), now, key_context.policy, lambda key: not key_context.waits_for(key, now))
        taken = [step for step in steps if _done(key_context, step, actor, now)]
        done.extend(taken)
        if not taken:
            break
    return tuple(done)


def months_ahead(key_context: KeyContext, now: Instant, days: int) -> tuple[tuple[Instant, Step], ...]:
    """What will be due in so many days, if nobody intervenes and verifiers keep fetching."""
    return forecast(key_context.keys.ring(), now, key_context.policy, now + days * DAY)


def _done(key_context: KeyContext, step: Step, actor: str, now: Instant) -> bool:
    try:
        if isinstance(step, Generate):
            new = _made(key_context, step.alg)
            taken = key_context.keys.ensure_staged(new, actor, now)
            if not taken:
                key_context.key_store.destroy(new.sealed_private)
            return taken
        if isinstance(step, Promote):
            active, _ = _of(key_context.keys.ring(), key_context.keys.get(step.kid).alg)
            may_sign = always if active is None else lambda key: key_context.may_sign(key, now)
            key_context.keys.activate(step.kid, actor, now, may_sign=may_sign)
        if isinstance(step, Withdraw):
            key_context.keys.remove(step.kid, actor, now)
    except Conflict:
        # Another node did it, or something that makes it wrong by now.
        return False
    return True


def _made(key_context: KeyContext, alg: str) -> NewKey:
    try:
        return key_context.key_store.make(alg)
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


def _check_ready(key_context: KeyContext, key: KeyInfo, now: Instant) -> None:
    """Refuse to let a key sign that a verifier may not know.

    Raises:
        Conflict: with the instant from which it may.
    """
    may_sign = may_sign_from(key, key_context.policy)
    force = "if it cannot wait, say why: --force --reason TEXT"
    if now < may_sign:
        msg = f"key {key.kid} is announced until {_told(may_sign)} and may sign from then on; {force}"
        raise Conflict(msg)
    late = key_context.waits_for(key, now)
    deadline = may_sign + key_context.policy.patience
    if late and now < deadline:
        msg = f"{', '.join(late)} has not fetched key {key.kid} yet; it is waited for until {_told(deadline)}; {force}"
        raise Conflict(msg)


def _check(reason: str) -> None:
    if len(reason) > MAX_REASON or not reason.isprintable() or (reason and not reason.strip()):
        msg = f"a reason is one line of 1 to {MAX_REASON} characters"
        raise Invalid(msg)


def _told(at: Instant) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
