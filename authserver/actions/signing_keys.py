"""The life cycle of the signing keys: stage, activate, retire, withdraw; by hand, by the rotation, or in an emergency.

A key signs only after it has been published for the announcement and every resource
server that fetches the JWKS has fetched it (INV-14). An operator who cannot wait gives a
reason, which goes into the audit record. Every decision is checked again inside the
transaction, so of many nodes that act at once one wins and the others change nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid, Unavailable
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.hot_path import TokenKeys
from authserver.ports.jwks_fetchers import JwksFetcher, JwksFetchers
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.sessions import Session, Sessions
from authserver.ports.signing_keys import SigningKeys, TokensOfKey, always
from authserver.ports.store import Store
from authserver.rules.facts import Instant
from authserver.rules.key_readiness import Fetcher, fetchers_behind
from authserver.rules.liveness import decide
from keys.keyring import USABLE, KeyInfo, State
from keys.material import NewKey, PrivateKey, UnusableKey
from keys.rotation import DAY, Generate, Policy, Promote, Step, Withdraw, forecast, may_sign_from, plan

HOUR = 3600
MAX_REASON = 200
_MOST_ROUNDS = 4
"""Limits the rounds of a tick, which ends when nothing is due any more; each algorithm needs two at most."""


class KeyStore(Protocol):
    """Where new keys are kept (``keys.key_stores.KeyStore``)."""

    def make(self, alg: str) -> NewKey:
        """Make a key."""
        ...

    def import_key(self, private: PrivateKey, alg: str) -> NewKey:
        """Import a key that was made elsewhere."""
        ...

    def destroy(self, reference: bytes) -> None:
        """Destroy a private key."""
        ...


@dataclass(frozen=True, slots=True)
class KeyContext:
    """The keys, where new ones are kept, how they rotate, and who fetches them."""

    keys: SigningKeys
    key_store: KeyStore
    policy: Policy
    fetchers: tuple[Fetcher, ...]
    emergency: KeyStore | None = None
    """The key store used when ``key_store`` is unreachable and a key is needed at once."""

    def waits_for(self, key: KeyInfo, now: Instant) -> tuple[str, ...]:
        """The names of the resource servers that have not fetched a key yet."""
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
    """Build a ``KeyContext`` from the settings and the recorded JWKS fetches."""
    general, servers = accounts.general(), accounts.resource_servers()
    return KeyContext(keys, key_store, policy_of(general, servers), fetchers_of(servers, verifiers.all()), emergency)


def policy_of(general: GeneralSettings, servers: Sequence[ResourceServer]) -> Policy:
    """The rotation policy the general settings describe, for the algorithms that are in use."""
    algs = {
        general.token_alg,
        *(each.token_alg for each in servers if each.token_alg and each.disabled_at is None),
    }
    return Policy(
        algorithms=tuple(sorted(algs)),
        announcement=general.key_announcement_hours * HOUR,
        period=general.key_rotation_days * DAY or None,
        patience=general.key_patience_hours * HOUR,
    )


def fetchers_of(servers: Sequence[ResourceServer], fetchers: Sequence[JwksFetcher]) -> tuple[Fetcher, ...]:
    """The enabled resource servers that identified themselves when they fetched the JWKS."""
    by_id = {each.name: each for each in fetchers if each.kind == "resource_server"}
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
    return _stored(key_context, _make(key_context, alg), actor, now)


def import_key(key_context: KeyContext, private: PrivateKey, alg: str, *, actor: str, now: Instant) -> KeyInfo:
    """Import a key that was made elsewhere, and publish it.

    Raises:
        Invalid: the key store refuses it.
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


def ensure_active(key_context: KeyContext, alg: str, *, actor: str, now: Instant) -> bool:
    """Make an active key for an algorithm without one; False when there is one, also when another node was first."""
    if any(key.alg == alg and key.state is State.ACTIVE for key in key_context.keys.ring()):
        return False
    new = _make(key_context, alg)
    added = key_context.keys.ensure_active(new, actor, now)
    if not added:
        key_context.key_store.destroy(new.sealed_private)
    return added


def rotate(key_context: KeyContext, alg: str, *, actor: str, now: Instant, reason: str = "") -> KeyInfo:
    """Change the active key as soon as that is safe; with a ``reason``, now.

    Where no key is staged one is made and returned, staged: it may sign after its
    announcement. Where no key is active, a new one is active at once.

    Raises:
        Conflict: the staged key is too young, or a resource server has not fetched it yet.
        Invalid: the reason is no printable line, or the key store has no keys for ``alg``.
    """
    _check_reason(reason)
    active, staged = _active_and_staged(key_context.keys.ring(), alg)
    if staged is None and active is not None and not reason:
        new = _make(key_context, alg)
        if not key_context.keys.ensure_staged(new, actor, now):
            key_context.key_store.destroy(new.sealed_private)
        return next(key for key in key_context.keys.ring() if key.alg == alg and key.state is State.STAGED)
    if active is None or reason:
        spare = None if staged else _make(key_context, alg)
        return key_context.keys.get(key_context.keys.rotate(alg, spare, actor, now, reason=reason))
    if staged is not None:
        _check_ready(key_context, staged, now)
    return key_context.keys.get(
        key_context.keys.rotate(
            alg, None, actor, now, may_sign=lambda key: key_context.may_sign(key, now), reason=reason
        )
    )


def activate(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Activate a staged key.

    Raises:
        Conflict: it is not staged, too young, or a resource server has not fetched it yet.
    """
    _check_reason(reason)
    key = key_context.keys.get(kid)
    active, _ = _active_and_staged(key_context.keys.ring(), key.alg)
    wait = key.state is State.STAGED and active is not None and not reason
    if wait:
        _check_ready(key_context, key, now)
    key_context.keys.activate(
        key.kid,
        actor,
        now,
        may_sign=(lambda each: key_context.may_sign(each, now)) if wait else always,
        reason=reason,
    )


def retire(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Retire the active key; the oldest staged one is activated.

    Raises:
        Conflict: it is not active, or no staged key may follow it yet.
    """
    _check_reason(reason)
    key = key_context.keys.get(kid)
    _, staged = _active_and_staged(key_context.keys.ring(), key.alg)
    if key.state is State.ACTIVE and staged is not None and not reason and key.alg in key_context.policy.algorithms:
        _check_ready(key_context, staged, now)
    key_context.keys.retire(
        key.kid, actor, now, may_sign=always if reason else lambda each: key_context.may_sign(each, now), reason=reason
    )


def compromise(key_context: KeyContext, kid: str, *, actor: str, now: Instant, reason: str = "") -> None:
    """Compromise a key, which ends every token it signed; a staged key is activated at once, else a new one.

    Raises:
        Conflict: it is compromised already.
    """
    _check_reason(reason)
    key = key_context.keys.get(kid)
    _, staged = _active_and_staged(key_context.keys.ring(), key.alg, but=key.kid)
    spare = _make_spare(key_context, key.alg) if key.state is State.ACTIVE and staged is None else None
    try:
        key_context.keys.compromise(key.kid, actor, now, spare, reason=reason)
    finally:
        if spare is not None and not any(each.kid == spare.kid for each in key_context.keys.ring()):
            key_context.key_store.destroy(spare.sealed_private)


def _make_spare(key_context: KeyContext, alg: str) -> NewKey:
    """Make a key, in the emergency key store if need be: a compromise must not wait for an unreachable HSM."""
    try:
        return _make(key_context, alg)
    except (Unavailable, Invalid):
        if key_context.emergency is None:
            raise
        return key_context.emergency.make(alg)


def tick(key_context: KeyContext, *, actor: str, now: Instant) -> tuple[Step, ...]:
    """Take the due steps and return those taken here; a second call, on any node, finds none due."""
    done: list[Step] = []
    for _ in range(_MOST_ROUNDS):
        steps = plan(key_context.keys.ring(), now, key_context.policy, lambda key: not key_context.waits_for(key, now))
        done_now = [step for step in steps if _take_step(key_context, step, actor, now)]
        done.extend(done_now)
        if not done_now:
            break
    return tuple(done)


def forecast_steps(key_context: KeyContext, now: Instant, days: int) -> tuple[tuple[Instant, Step], ...]:
    """The steps that will be due within ``days`` if nobody intervenes and every verifier keeps fetching."""
    return forecast(key_context.keys.ring(), now, key_context.policy, now + days * DAY)


def _take_step(key_context: KeyContext, step: Step, actor: str, now: Instant) -> bool:
    try:
        if isinstance(step, Generate):
            new = _make(key_context, step.alg)
            staged = key_context.keys.ensure_staged(new, actor, now)
            if not staged:
                key_context.key_store.destroy(new.sealed_private)
            return staged
        if isinstance(step, Promote):
            active, _ = _active_and_staged(key_context.keys.ring(), key_context.keys.get(step.kid).alg)
            may_sign = always if active is None else lambda key: key_context.may_sign(key, now)
            key_context.keys.activate(step.kid, actor, now, may_sign=may_sign)
        if isinstance(step, Withdraw):
            key_context.keys.remove(step.kid, actor, now)
    except Conflict:
        # Another node took the step first, or made another change that rules it out.
        return False
    return True


def _make(key_context: KeyContext, alg: str) -> NewKey:
    try:
        return key_context.key_store.make(alg)
    except UnusableKey as error:
        msg = f"no key can be made: {error}"
        raise Unavailable(msg) from error
    except ValueError as error:
        raise Invalid(str(error)) from error


def _active_and_staged(ring: Sequence[KeyInfo], alg: str, but: str = "") -> tuple[KeyInfo | None, KeyInfo | None]:
    """The active and the oldest staged key of an algorithm."""
    of_alg = [key for key in ring if key.alg == alg and key.kid != but]
    active = next((key for key in of_alg if key.state is State.ACTIVE), None)
    return active, next((key for key in of_alg if key.state is State.STAGED), None)


def _check_ready(key_context: KeyContext, key: KeyInfo, now: Instant) -> None:
    """Refuse to activate a key that a verifier may not have.

    Raises:
        Conflict: names the instant from which the key may sign.
    """
    may_sign = may_sign_from(key, key_context.policy)
    force = "if it cannot wait, say why: --force --reason TEXT"
    if now < may_sign:
        msg = f"key {key.kid} is announced until {_iso(may_sign)} and may sign from then on; {force}"
        raise Conflict(msg)
    late = key_context.waits_for(key, now)
    deadline = may_sign + key_context.policy.patience
    if late and now < deadline:
        msg = f"{', '.join(late)} has not fetched key {key.kid} yet; it is waited for until {_iso(deadline)}; {force}"
        raise Conflict(msg)


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON or not reason.isprintable() or (reason and not reason.strip()):
        msg = f"a reason is one line of 1 to {MAX_REASON} characters"
        raise Invalid(msg)


def _iso(at: Instant) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


MAX_PROBED = 20
"""How many live tokens of a key are judged in a rehearsal."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The outcome of a rehearsal: what a compromise now would do."""

    tokens: int
    credentials: Sequence[TokensOfKey]
    judged: int
    survivors: int
    successor: KeyInfo | None
    successor_is_young: bool


def rehearse(store: Store, key: KeyInfo, now: Instant) -> Rehearsal:
    """Compromise ``key`` in a copy of the key states, and judge its recorded live tokens by it."""
    ring, credentials = store.keys.ring(), store.keys.signed_for(key.kid, now)
    states = {each.kid: State.COMPROMISED if each.kid == key.kid else each.state for each in ring}
    judged = survivors = 0
    for session in live_sessions(store.sessions, credentials, key.kid, now):
        facts = store.hot_path.introspection_facts("", keys_of(session))
        if facts.standing is None:
            continue
        judged += 1
        standing = facts.standing._replace(key_usable=states[session.kid] in USABLE)
        survivors += decide(session.token, now, standing).alive
    staged = [each for each in ring if each.alg == key.alg and each.state is State.STAGED and each.kid != key.kid]
    successor = staged[0] if staged and key.state is State.ACTIVE else None
    hours = store.accounts.general().key_announcement_hours
    is_young = successor is not None and now < successor.created_at + hours * 3600
    return Rehearsal(sum(each.tokens for each in credentials), credentials, judged, survivors, successor, is_young)


def live_sessions(sessions: Sessions, credentials: Sequence[TokensOfKey], kid: str, now: Instant) -> list[Session]:
    """Recorded sessions of a key that may live at ``now``, ``MAX_PROBED`` at most."""
    found: list[Session] = []
    for each in credentials:
        of_key = [row for row in sessions.of_credential(each.client_id) if row.kid == kid]
        found += [row for row in of_key if row.ended_at is None and row.expires_at > now]
        if len(found) >= MAX_PROBED:
            break
    return found[:MAX_PROBED]


def keys_of(session: Session) -> TokenKeys:
    """What points at the rows that decide about a token."""
    return TokenKeys(session.jti, session.client_id, session.secret_id, session.kid)
