"""What holds a credential to a number of live sessions and of token requests, on all nodes together."""

from typing import Protocol

from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Span


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
