"""What the rules take and return: a token, the state around it (``Standing``), and a ``Decision``.

Time is a whole second of UTC since 1970, handed in once. Every life is
half-open: something that ends at E is over from the very second E.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NoReturn

Instant = int
"""Seconds since 1970-01-01T00:00:00Z."""

Span = int
"""A length of time in seconds."""


class Reason(StrEnum):
    """Why a token ended. Told to its owner and the security team, never to the caller."""

    KEY_COMPROMISED = "key_compromised"
    EPOCH = "restored"
    OWNER_DISABLED = "owner_disabled"
    CREDENTIAL_DELETED = "credential_deleted"
    CREDENTIAL_DISABLED = "credential_disabled"
    REVOKED = "revoked"
    ENDED_BY_OWNER = "ended_by_owner"
    ENDED_BY_OPERATOR = "ended_by_operator"
    EXPIRED = "expired"
    CREDENTIAL_EXPIRED = "credential_expired"
    SECRET_ENDED = "secret_ended"  # noqa: S105 - a reason, no secret
    FROM_THE_FUTURE = "issued_in_the_future"
    ROLES_CHANGED = "roles_changed"
    IDLE = "idle"
    TYP_CHANGED = "token_typ_changed"
    SESSION_LIMIT = "session_limit"
    LEAKED = "leaked"


class Token(NamedTuple):
    """One issued token: facts of its verified text and of its session row."""

    jti: str
    issued_at: Instant
    expires_at: Instant
    last_used_at: Instant
    role_version: int
    credential_version: int
    epoch: int
    ended: Reason | None = None


class Standing(NamedTuple):
    """Everything outside the token that can end it, read in one statement.

    Who was last used before ``used_since`` had idled out, and who was issued before
    ``issued_since`` was too old, under an idle timeout or a maximum lifetime of the past.
    """

    idle_timeout: Span
    max_lifetime: Span
    used_since: Instant
    issued_since: Instant
    epoch: int
    key_usable: bool
    owner_disabled: bool
    role_version: int
    credential_deleted: bool
    credential_disabled: bool
    credential_version: int
    credential_expires_at: Instant
    secret_ends_at: Instant | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Alive, or dead for one named reason."""

    reason: Reason | None = None

    @property
    def alive(self) -> bool:
        """Whether no rule objected."""
        return self.reason is None

    def __bool__(self) -> NoReturn:
        """Refuse: ``if decision:`` would be true for the dead as well."""
        msg = "ask decision.alive: a Decision is not a truth value"
        raise TypeError(msg)


def over(now: Instant, end: Instant) -> bool:
    """Whether a half-open life that ends at ``end`` is over at ``now``."""
    return now >= end
