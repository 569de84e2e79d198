"""When a new token ends at the latest (INV-07)."""

from authserver.rules.facts import Instant, Span

DAY: Span = 24 * 3600
MAX_LIFETIME: Span = 30 * DAY
"""The greatest maximum lifetime that can be set: no token of ours was ever made to live longer."""


def issued_since(now: Instant, max_lifetime: Span) -> Instant:
    """Who was issued before this is too old by ``now``, whatever the maximum lifetime will be (INV-05, INV-07)."""
    return now - max_lifetime + 1


def token_end(
    now: Instant, max_lifetime: Span, credential_expires_at: Instant, secret_ends_at: Instant | None
) -> Instant:
    """``exp`` = min(maximum lifetime, credential expiry, secret end); it never moves."""
    end = min(now + max_lifetime, credential_expires_at)
    return end if secret_ends_at is None else min(end, secret_ends_at)
