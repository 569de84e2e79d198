"""Registered resource servers as values."""

from dataclasses import dataclass
from typing import Protocol

from authserver.rules.facts import Instant

MANAGEMENT_API = "api"
TOKEN_TYPES = ("at+jwt", "JWT")
"""``typ`` of the tokens for an API: that of RFC 9068 §2.1, or for verifiers that refuse it ``JWT`` (RFC 7519 §5.1)."""


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """A registered API and its audience."""

    id: str
    client_id: str
    name: str
    audience: str
    token_alg: str | None
    created_at: Instant
    disabled_at: Instant | None
    last_asked_at: Instant | None = None
    max_staleness: int = 0
    """S: for how many seconds it may trust an answer; 0: it asks for each call."""
    token_typ: str = TOKEN_TYPES[0]
    purpose: str = ""
    """``MANAGEMENT_API`` for this server's own API; empty for every other."""
    requires: tuple[str, ...] = ()
    """What token requests for it must meet: ``rules/client_authentication/policy``."""


@dataclass(frozen=True, slots=True)
class ResourceServerActivity:
    """What a resource server has sent lately."""

    last_report_at: Instant | None
    reports_last_hour: int
    feed_fetched_at: Instant | None
    """When it asked for the change feed last; None when it never did."""
    feed_behind: int
    """How many entries were added since."""
    calls_per_hour: int
    """Calls that were asked about or reported, on average of the last seven days."""


class ResourceServerActivities(Protocol):
    """The traffic of resource servers."""

    def activity(self, server_id: str, now: Instant) -> ResourceServerActivity:
        """What one has sent lately."""
        ...
