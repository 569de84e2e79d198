"""Counts of live tokens, and who gets tokens without need."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from authserver.rules.facts import Instant


class UnusedTokens(NamedTuple):
    """What a client got and used in one day of UTC; uses at an API that checks tokens by itself are unknown."""

    client_id: str
    name: str
    owner: str
    tokens: int
    uses: int


class TokenReads(Protocol):
    """Counts of live tokens by the rules of an introspection; a token of the last second may be missing.

    Every count stops at ``MAX_COUNTED``.
    """

    def all(self, now: Instant) -> int:
        """How many live tokens there are."""
        ...

    def by_key(self, now: Instant, kid: str | None = None) -> Mapping[str, int]:
        """How many live tokens each signing key has signed, by ``kid``, or only the one that is named."""
        ...

    def by_audience(self, now: Instant, audience: str | None = None) -> Mapping[str, int]:
        """How many live tokens there are for each resource server's audience, or only for the one that is named."""
        ...

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings; None: as it is."""
        ...

    def unused(self, now: Instant, client_id: str | None = None) -> tuple[UnusedTokens, ...]:
        """Clients that got far more tokens yesterday than they used, the worst first, 20 at most; or only that one."""
        ...
