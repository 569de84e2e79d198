"""The record of each token, and how many of them a credential may have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, Span, Token


@dataclass(frozen=True, slots=True)
class Session:
    """The server's record of one token."""

    jti: str
    client_id: str
    secret_id: str
    kid: str
    audience: str
    roles: tuple[str, ...]
    role_version: int
    credential_version: int
    epoch: int
    issued_at: Instant
    expires_at: Instant
    last_used_at: Instant
    ended_at: Instant | None
    end_reason: str | None
    issued_peer: str | None = None
    last_used_peer: str | None = None

    @property
    def token(self) -> Token:
        """The token as the liveness rules need it."""
        return Token(
            jti=self.jti,
            issued_at=self.issued_at,
            expires_at=self.expires_at,
            last_used_at=self.last_used_at,
            role_version=self.role_version,
            credential_version=self.credential_version,
            epoch=self.epoch,
        )


class SessionBacklog(NamedTuple):
    """How many rows the sessions take, as the database estimates, and how many seconds the sweep is behind."""

    rows: int
    lag: int


class Sessions(Protocol):
    """The record of each token."""

    def end(self, start: SessionStart, reason: Reason, at: Instant) -> None:
        """Durable before it returns; the first end stands (INV-05)."""
        ...

    def end_all(self, ends: Sequence[tuple[SessionStart, Reason]], at: Instant) -> None:
        """The same for many, in one transaction."""
        ...

    def end_known(self, jti: str, reason: Reason, at: Instant) -> bool:
        """End a session by its id; False when there is none that lives."""
        ...

    def find(self, jti: str) -> Session | None:
        """One kept session by its id."""
        ...

    def of_credential(self, client_id: str) -> Sequence[Session]:
        """All kept sessions of a credential, newest first."""
        ...

    def recent_of_credential(self, client_id: str, now: Instant, limit: int) -> Sequence[Session]:
        """The sessions that may live, and the newest of the others; ``limit`` of each kind at most, newest first."""
        ...

    def backlog(self, now: Instant, keep: int) -> SessionBacklog:
        """How many sessions are on record, and how far ``sweep`` is behind; costs the same for any number of rows."""
        ...

    def sweep(self, now: Instant, keep: int, seconds: float = ..., *, usage_days: int = ...) -> int:
        """Delete sessions past their ``exp`` for more than ``keep`` seconds, and usage beyond ``usage_days``; how many.

        Stops after about so many ``seconds``; the oldest go first.
        """
        ...


class TokenLimits(Protocol):
    """Counts for credentials that are restricted so, and for no other."""

    def take(self, client_id: str, per_minute: int, now: Instant) -> Span:
        """Count one token request; 0, or the seconds to wait where there were too many in the last minute.

        Raises:
            Unavailable: it cannot be counted.
        """
        ...

    def admit(
        self, start: SessionStart, *, token_hash: str, most: int, end_oldest: bool, idle_timeout: Span, now: Instant
    ) -> Span:
        """Record a new session, durably, so that no more than ``most`` of its credential live.

        Where that many live already, ``end_oldest`` ends the oldest in the same transaction; otherwise nothing is
        recorded, and the answer is after how many seconds the first of them ends if nobody uses it; else 0.

        Raises:
            Unavailable: it cannot be recorded.
        """
        ...
