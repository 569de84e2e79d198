"""Which resource servers must have fetched a key before it signs: those known to fetch the JWKS themselves."""

from collections.abc import Iterable
from dataclasses import dataclass

from authserver.rules.facts import Instant, Span

REMEMBERED: Span = 30 * 24 * 3600
"""A resource server that has not fetched for that long verifies no longer, or elsewhere: nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """A resource server that made itself known when it fetched, and the keys it was given last."""

    name: str
    last_fetched_at: Instant
    seen: frozenset[str]


def fetchers_behind(kid: str, fetchers: Iterable[Fetcher], now: Instant) -> tuple[Fetcher, ...]:
    """Those that fetch, but have not fetched since ``kid`` was published."""
    return tuple(each for each in fetchers if kid not in each.seen and now - each.last_fetched_at < REMEMBERED)
