"""Counts of live tokens."""

from collections.abc import Mapping
from typing import Protocol

from authserver.rules.facts import Instant


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
