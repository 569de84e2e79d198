"""What the console may do to signing keys, in the words of ``actions.signing_keys``, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from authserver.actions import signing_keys
from authserver.actions.signing_keys import KeyContext
from authserver.console.context import ConsoleContext
from authserver.ports.errors import Conflict, NotFound
from authserver.rules.facts import Instant
from keys.keyring import KeyInfo, State
from keys.material import ALGORITHMS
from keys.rotation import JWKS_MAX_AGE, Promote, may_sign_from, published_until

MAX_AGE: Final = JWKS_MAX_AGE
OFFERED_ALGORITHMS: Final = ALGORITHMS
MAX_REASON: Final = signing_keys.MAX_REASON
_DAYS_AHEAD: Final = 400


class NotReady(Conflict):
    """The next key may sign from ``since``; ``late`` are the resource servers that are waited for until then."""

    def __init__(self, since: Instant, late: tuple[str, ...] = ()) -> None:
        super().__init__("Verifiers may not know the next key yet.")
        self.since, self.late = since, late


@dataclass(frozen=True, slots=True)
class NextRotation:
    """What comes next for an algorithm. ``staged`` may sign from ``ready_at``; ``next_at`` is None for "by hand"."""

    alg: str
    staged: KeyInfo | None
    ready_at: Instant | None
    late: tuple[str, ...]
    next_at: Instant | None


def key_context(context: ConsoleContext) -> KeyContext:
    """The keys, how they rotate, and who fetches them."""
    return signing_keys.key_context(
        context.accounts, context.store.keys, context.services.key_store, context.store.jwks_fetchers
    )


def leaves_at(key: KeyInfo) -> Instant:
    """The instant from which a retired key may leave the JWKS: its last token is over."""
    return published_until(key)


def next_rotations(context: ConsoleContext, known: KeyContext | None = None) -> tuple[NextRotation, ...]:
    """What comes next, for every algorithm that has a key; ``known`` is the room where it has been read."""
    found, ring = known or key_context(context), context.store.keys.ring()
    times = _next_rotation_times(found, {key.kid: key.alg for key in ring}, context.now)
    made = []
    for alg in sorted({key.alg for key in ring if key.state in {State.ACTIVE, State.STAGED}}):
        staged = next((key for key in ring if key.alg == alg and key.state is State.STAGED), None)
        ready_at = may_sign_from(staged, found.policy) if staged else None
        late = found.waits_for(staged, context.now) if staged else ()
        made.append(NextRotation(alg, staged, ready_at, late, times.get(alg)))
    return tuple(made)


def generate(context: ConsoleContext, alg: str) -> KeyInfo:
    """Make a key and publish it."""
    return signing_keys.generate(key_context(context), alg, **context.who)


def rotate(context: ConsoleContext, alg: str, reason: str = "") -> KeyInfo:
    """Let the next key sign; where none is published but one signs, publish one instead and return it.

    For a reason it signs at once, whether or not verifiers have fetched it.

    Raises:
        NotReady: verifiers may not know it yet.
        Invalid: the reason is no sentence.
    """
    if not reason:
        _check_ready(context, alg)
    return signing_keys.rotate(key_context(context), alg, **context.who, reason=reason)


def retire(context: ConsoleContext, kid: str, _reason: str = "") -> None:
    """Take the active key out of signing; the next one takes over.

    Raises:
        NotReady: verifiers may not know the next one yet.
        Conflict: it is not active, or no next one is published.
    """
    key = find_key(context, kid)
    if key.state is State.ACTIVE:
        _check_ready(context, key.alg)
    signing_keys.retire(key_context(context), kid, **context.who)


def compromise(context: ConsoleContext, kid: str, reason: str = "") -> None:
    """Kill a key and every token it signed; another signs at once.

    Raises:
        Invalid: the reason is no sentence.
    """
    find_key(context, kid)
    signing_keys.compromise(key_context(context), kid, **context.who, reason=reason)


def withdraw(context: ConsoleContext, kid: str, _reason: str = "") -> None:
    """Take a retired key out of the JWKS.

    Raises:
        Conflict: a token it signed may live.
    """
    find_key(context, kid)
    context.store.keys.remove(kid, context.who["actor"], context.now)


def find_key(context: ConsoleContext, kid: str) -> KeyInfo:
    """One key by its whole id; ``NotFound`` else."""
    for key in context.store.keys.ring():
        if key.kid == kid:
            return key
    raise NotFound(kid)


def _check_ready(context: ConsoleContext, alg: str) -> None:
    found = key_context(context)
    for next_rotation in next_rotations(context):
        if next_rotation.alg == alg and next_rotation.ready_at is not None:
            if context.now < next_rotation.ready_at:
                raise NotReady(next_rotation.ready_at)
            if next_rotation.late and context.now < next_rotation.ready_at + found.policy.patience:
                raise NotReady(next_rotation.ready_at + found.policy.patience, next_rotation.late)


def _next_rotation_times(found: KeyContext, algs: Mapping[str, str], now: Instant) -> dict[str, Instant]:
    """When the next key will sign by itself, by algorithm."""
    times: dict[str, Instant] = {}
    for moment, step in signing_keys.forecast_steps(found, now, _DAYS_AHEAD):
        if isinstance(step, Promote):
            # A key that does not exist yet is called by its algorithm.
            alg = algs.get(step.kid) or next(each for each in found.policy.algorithms if each in step.kid.split())
            times.setdefault(alg, moment)
    return times
