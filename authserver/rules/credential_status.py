"""The status of a credential: the six words that lists show (PRODUCT.md §2.2, §2.5, §2.6).

Several may hold at once; they come in the order of urgency, and the first is the
badge. "Active" is what is left when nothing else holds. Every end is half-open:
what ends at E is over from the second E.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from authserver.rules.facts import Instant, Span, over
from authserver.rules.lifetime import DAY

EXPIRING_WITHIN: Span = 14 * DAY
"""How long before its expiry a credential is called expiring."""

NOTICE_SECONDS: Span = 30 * DAY
"""How long before something ends its owner is told, wherever they look first."""

UNUSED_FOR: Span = 45 * DAY
"""What nobody used for so long is shown as such: perhaps it is not needed any more."""


class Status(StrEnum):
    """One word of six, most urgent first."""

    DISABLED = "disabled"
    EXPIRED = "expired"
    EXPIRING = "expiring"
    ROTATING = "rotating"
    REDUCED = "reduced"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What the status follows from; ``secret_ends`` has one entry a secret, None for one without an end."""

    disabled: bool
    owner_disabled: bool
    expires_at: Instant
    chosen: frozenset[str]
    held: frozenset[str]
    secret_ends: Sequence[Instant | None] = ()


def statuses(facts: StatusFacts, now: Instant) -> tuple[Status, ...]:
    """All that hold, most urgent first; never empty."""
    expired = over(now, facts.expires_at)
    conditions = {
        Status.DISABLED: facts.disabled or facts.owner_disabled,
        Status.EXPIRED: expired,
        Status.EXPIRING: not expired and over(now + EXPIRING_WITHIN, facts.expires_at),
        Status.ROTATING: rotation_end(facts.secret_ends, now) is not None,
        Status.REDUCED: not facts.chosen <= facts.held,
    }
    return tuple(status for status, holds in conditions.items() if holds) or (Status.ACTIVE,)


def rotation_end(secret_ends: Sequence[Instant | None], now: Instant) -> Instant | None:
    """When the last secret that lives on beside its successor ends; None when none does."""
    return max((end for end in secret_ends if end is not None and not over(now, end)), default=None)
