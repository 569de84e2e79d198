"""KEY ROTATION: what is due, as a plan; what will be due, as a forecast. No clock, no disk.

For each algorithm in use::

    age of the active key      period - announcement        period
    ---------------------------------|------------------------|----------->
                                 Generate(next)          Promote(next)     Withdraw(old)
                                     |<--- announcement ----->|            when its last token
                                      in every verifier's cache            has ended, plus skew

A key signs only after it has been published for the announcement (INV-14);
verifiers that have not fetched it yet hold a promotion back until a deadline.
Without any active key the oldest staged one signs at once, however young:
a verifier that must fetch again is better than none being served.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keys.keyring import KeyInfo, State

Instant = int
Span = int

MINUTE: Span = 60
DAY: Span = 24 * 3600

JWKS_MAX_AGE: Span = 300
"""Seconds a verifier may keep the JWKS."""

SKEW: Span = MINUTE
"""How far a verifier's clock may be off."""

SHORTEST_ANNOUNCEMENT: Span = JWKS_MAX_AGE + SKEW


@dataclass(frozen=True, slots=True)
class Policy:
    """How keys rotate; spans in seconds.

    ``period`` is how long a key signs, None for never by itself. ``patience`` is
    how long a promotion waits for verifiers behind the end of the announcement.
    """

    algorithms: tuple[str, ...]
    announcement: Span = DAY
    period: Span | None = None
    patience: Span = 7 * DAY


@dataclass(frozen=True, slots=True)
class Generate:
    """Make a key for ``alg`` and publish it."""

    alg: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Let a staged key sign; the active one before it retires."""

    kid: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a retired key out of the JWKS."""

    kid: str


Step = Generate | Promote | Withdraw
Seen = Callable[[KeyInfo], bool]


def everybody(_key: KeyInfo) -> bool:
    """Assume that every verifier has fetched every key."""
    return True


def plan(ring: Sequence[KeyInfo], now: Instant, policy: Policy, seen: Seen = everybody) -> tuple[Step, ...]:
    """What is due at ``now``, in the order to do it.

    Args:
        ring: all keys.
        now: seconds of UTC.
        policy: how keys rotate.
        seen: whether every verifier that matters has fetched a key.
    """
    steps: list[Step] = []
    for alg in policy.algorithms:
        steps.extend(_rotation_due([key for key in ring if key.alg == alg], alg, now, policy, seen))
    steps.extend(Withdraw(key.kid) for key in _oldest_first(ring, State.RETIRED) if now >= published_until(key))
    return tuple(steps)


def may_sign_from(key: KeyInfo, policy: Policy) -> Instant:
    """The first instant a staged key may sign at."""
    return key.created_at + policy.announcement


def published_until(key: KeyInfo) -> Instant:
    """The instant a retired key may leave the JWKS at: its last token has ended, plus skew."""
    return _since(key.retired_at, key) + key.token_life + SKEW


def forecast(ring: Sequence[KeyInfo], now: Instant, policy: Policy, until: Instant) -> tuple[tuple[Instant, Step], ...]:
    """What will be due from ``now`` until ``until``, if nobody intervenes and verifiers keep fetching.

    Keys that do not exist yet are called ``next ES256``, ``next ES256 2`` and so on.
    """
    state, at, made = list(ring), now, 0
    found: list[tuple[Instant, Step]] = []
    while at <= until:
        steps = plan(state, at, policy)
        for step in steps:
            if isinstance(step, Generate):
                made += 1
                found.append((at, step))
                state.append(KeyInfo(_future_kid(step.alg, made), step.alg, State.STAGED, "{}", at))
            else:
                found.append((at, step))
                state = apply(state, step, at)
        if not steps:
            later = [instant for instant in _change_instants(state, policy) if instant > at]
            if not later:
                break
            at = min(later)
    return tuple(found)


def apply(ring: Sequence[KeyInfo], step: Promote | Withdraw, now: Instant) -> list[KeyInfo]:
    """The ring as it is after ``step``."""
    if isinstance(step, Withdraw):
        return [replace(key, state=State.REMOVED, ended_at=now) if key.kid == step.kid else key for key in ring]
    promoted = next(key for key in ring if key.kid == step.kid)
    longest_life = max((key.token_life for key in ring), default=0)
    after = []
    for key in ring:
        if key.kid == step.kid:
            after.append(replace(key, state=State.ACTIVE, activated_at=now, token_life=longest_life))
        elif key.alg == promoted.alg and key.state is State.ACTIVE:
            after.append(replace(key, state=State.RETIRED, retired_at=now))
        else:
            after.append(key)
    return after


def _rotation_due(ring: Sequence[KeyInfo], alg: str, now: Instant, policy: Policy, seen: Seen) -> list[Step]:
    active = next(iter(_oldest_first(ring, State.ACTIVE)), None)
    staged = next(iter(_oldest_first(ring, State.STAGED)), None)
    if active is None:
        return [Promote(staged.kid)] if staged else [Generate(alg)]
    if policy.period is None:
        return []
    turn = _since(active.activated_at, active) + policy.period
    if staged is None:
        return [Generate(alg)] if now >= turn - policy.announcement else []
    ready_at = may_sign_from(staged, policy)
    if now >= max(turn, ready_at) and (seen(staged) or now >= max(turn, ready_at) + policy.patience):
        return [Promote(staged.kid)]
    return []


def _change_instants(ring: Sequence[KeyInfo], policy: Policy) -> list[Instant]:
    instants = [published_until(key) for key in ring if key.state is State.RETIRED]
    for key in ring:
        if key.alg not in policy.algorithms:
            continue
        if key.state is State.STAGED:
            instants.append(may_sign_from(key, policy))
        if key.state is State.ACTIVE and policy.period is not None:
            turn = _since(key.activated_at, key) + policy.period
            instants += [turn - policy.announcement, turn]
    return instants


def _since(instant: Instant | None, key: KeyInfo) -> Instant:
    return key.created_at if instant is None else instant


def _oldest_first(ring: Sequence[KeyInfo], state: State) -> list[KeyInfo]:
    return sorted((key for key in ring if key.state is state), key=lambda key: (key.created_at, key.kid))


def _future_kid(alg: str, number: int) -> str:
    return f"next {alg}" if number == 1 else f"next {alg} {number}"
