"""Who fetches the JWKS."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant


@dataclass(frozen=True, slots=True)
class JwksFetcher:
    """Somebody who fetches the JWKS: a resource server by its id, or an anonymous one by its user agent."""

    kind: str
    name: str
    fetches: int
    last_fetched_at: Instant
    seen: frozenset[str]
    """The keys in the set it was given last; empty for the anonymous."""


class JwksFetchers(Protocol):
    """Who has fetched the JWKS; collected in memory, written in batches."""

    def all(self) -> Sequence[JwksFetcher]:
        """Everybody on record, who fetched last first."""
        ...
