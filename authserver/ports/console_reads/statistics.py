"""Numbers by the hour, for charts; kept for a month, and near enough: a crash loses the last seconds of them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from authserver.rules.facts import Instant, Span

HOUR: Span = 3600
KEPT: Span = 31 * 24 * HOUR
SECRET_AGES = (30, 90, 180, 365)
EXPIRIES = (7, 30, 90, 365)
"""Bounds in days, the last class being open: ``30`` is "up to 30 days", ``+`` more than the last."""

WAYS = ("secret", "both", "key")
"""What live credentials prove themselves with: a shared secret, also a key or a trust, those alone."""

OPEN_CLASS = "+"
OTHERS = ""
"""The label of what is counted together, because there are too many to be told apart."""


class Measure(StrEnum):
    """What is counted. The first four add up; the others are how it stood when it was looked at."""

    TOKEN_REQUESTS = "token"  # noqa: S105 - a name
    INTROSPECTIONS = "introspection"
    FAILURES = "failure"
    SOURCES = "source"
    ENDED = "ended"
    LIVE_TOKENS = "live"
    SECRET_AGES = "secret_age"  # noqa: S105 - a name
    EXPIRIES = "expiry"
    WAYS = "authentication"
    SECRET_OWNERS = "secret_owner"  # noqa: S105 - a name
    SECRET_APIS = "secret_api"  # noqa: S105 - a name


class StatisticsRecorder(Protocol):
    """Counts what happens; buffered."""

    def count(self, measure: Measure, label: str, at: Instant) -> None:
        """Count one event of the hour of ``at``, under a label of a bounded set."""
        ...


class StatisticsReads(Protocol):
    """What was counted."""

    def by_time(self, measure: Measure, since: Instant, step: Span) -> Mapping[Instant, Mapping[str, int]]:
        """Numbers by label from ``since`` on, for each ``step`` seconds (a multiple of an hour) that has any.

        Events are added up; of live tokens the highest number counts.
        """
        ...

    def totals(self, measure: Measure, since: Instant, most: int) -> Mapping[str, int]:
        """The labels with the highest sums since then, highest first."""
        ...

    def latest(self, measure: Measure) -> Mapping[str, int]:
        """How it stood when it was last looked at, by label."""
        ...

    def looked_at(self) -> Instant | None:
        """When that was; None: not yet."""
        ...
