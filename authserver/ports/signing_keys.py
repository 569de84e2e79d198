"""The signing keys and their transitions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant
from keys.keyring import KeyInfo
from keys.material import NewKey

MaySign = Callable[[KeyInfo], bool]


def always(_key: KeyInfo) -> bool:
    """Let any staged key sign."""
    return True


class SigningKeys(Protocol):
    """The key ring; every move is one audited transaction, and never leaves an algorithm in use without its key.

    ``may_sign`` says which staged keys may sign, and is asked inside the transaction; ``reason`` goes into its record.
    """

    def ring(self) -> tuple[KeyInfo, ...]:
        """All keys, oldest first."""
        ...

    def get(self, kid: str) -> KeyInfo:
        """One key by its id, or by a start of it that fits only one; ``NotFound`` else."""
        ...

    def add(self, key: NewKey, actor: str, at: Instant) -> KeyInfo:
        """Stage a new key."""
        ...

    def ensure_staged(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Stage a new key if none is for its algorithm; False, and no trace, when one was first (INV-16)."""
        ...

    def ensure_active(self, key: NewKey, actor: str, at: Instant) -> bool:
        """Let a new key sign if none does for its algorithm; False, and no trace, when one was first (INV-16)."""
        ...

    def activate(self, kid: str, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = "") -> None:
        """Make a staged key the one that signs; the one before retires and its private part is destroyed."""
        ...

    def retire(self, kid: str, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = "") -> None:
        """Take an active key out of signing; a staged one takes over, ``Conflict`` when there is none."""
        ...

    def compromise(self, kid: str, actor: str, at: Instant, spare: NewKey | None, *, reason: str = "") -> None:
        """Kill a key and every token it signed; a staged key or the spare takes over at once."""
        ...

    def rotate(
        self, alg: str, spare: NewKey | None, actor: str, at: Instant, *, may_sign: MaySign = always, reason: str = ""
    ) -> str:
        """Let the oldest staged key sign, or the spare where none is staged; the new ``kid``."""
        ...

    def remove(self, kid: str, actor: str, at: Instant) -> None:
        """Withdraw a retired key from the JWKS; ``Conflict`` while a token it signed may live (INV-14)."""
        ...


@dataclass(frozen=True, slots=True)
class TokensOfKey:
    """What hangs on one key: a credential and its live tokens of that key, as far as they are on record."""

    client_id: str
    owner: str
    name: str
    tokens: int
    last_used_at: Instant
    ends_at: Instant
    """When the last of them ends."""
