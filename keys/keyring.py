"""Key states, the legal moves between them, and the public JWKS."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a signing key is in its life."""

    STAGED = "staged"
    ACTIVE = "active"
    RETIRED = "retired"
    REMOVED = "removed"
    COMPROMISED = "compromised"


MOVES: Mapping[State, frozenset[State]] = {
    State.STAGED: frozenset({State.ACTIVE, State.COMPROMISED}),
    State.ACTIVE: frozenset({State.RETIRED, State.COMPROMISED}),
    State.RETIRED: frozenset({State.REMOVED, State.COMPROMISED}),
    State.REMOVED: frozenset({State.COMPROMISED}),
    State.COMPROMISED: frozenset(),
}

PUBLISHED = frozenset({State.STAGED, State.ACTIVE, State.RETIRED})
"""In the JWKS."""

PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e", "pub", "kid", "alg", "use"})
"""All that a JWK shows; whatever else the storage may hold stays inside (INV-17)."""

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
POST_QUANTUM = ("ML-DSA-44", "ML-DSA-65")
"""RFC 9964. Published apart from the others until opted in: some verifiers refuse a whole set for one key they do
not know."""

LIVE = frozenset({State.STAGED, State.ACTIVE})
"""Its private part exists; in every other state it is destroyed."""

USABLE = frozenset({State.ACTIVE, State.RETIRED})
"""A token signed by such a key may be active."""


class IllegalMove(ValueError):
    """The key's state allows no such transition; the text names the state."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A signing key without its private part; instants in seconds of UTC."""

    kid: str
    alg: str
    state: State
    public_jwk: str
    created_at: int
    activated_at: int | None = None
    retired_at: int | None = None
    ended_at: int | None = None
    token_life: int = 0
    """The longest life in seconds of any token it may have signed."""
    key_store: str = "database"
    """Where its private part is, or was."""
    apart: bool = False
    """Published in the set of post-quantum keys only."""


def check_move(key: KeyInfo, to: State) -> None:
    """Refuse a move that the drawing does not have.

    Raises:
        IllegalMove: with the states from which ``to`` may be reached.
    """
    if to not in MOVES[key.state]:
        origins = ", ".join(sorted(origin for origin, targets in MOVES.items() if to in targets))
        msg = f"key {key.kid} is {key.state}; only a key that is {origins} can become {to}"
        raise IllegalMove(msg)


def jwks(keys: Iterable[KeyInfo]) -> bytes:
    """The JSON Web Key Set (RFC 7517 §5) of all published keys, oldest first; public members only."""
    return _set_of(key for key in keys if not key.apart)


def post_quantum_jwks(keys: Iterable[KeyInfo]) -> bytes:
    """The set of the published post-quantum keys (RFC 9964), whether the one above has them or not."""
    return _set_of(key for key in keys if key.alg in POST_QUANTUM)


def _set_of(keys: Iterable[KeyInfo]) -> bytes:
    published = sorted((key for key in keys if key.state in PUBLISHED), key=lambda key: (key.created_at, key.kid))
    return json.dumps(
        {"keys": [_public(json.loads(key.public_jwk)) for key in published]}, separators=(",", ":")
    ).encode()


def _public(jwk: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in jwk.items() if name in PUBLIC_MEMBERS}
