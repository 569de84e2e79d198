"""When a new token ends at the latest, and how long a credential may live (INV-07)."""

from authserver.rules.facts import Instant, Span

DAY: Span = 24 * 3600


def token_end(
    now: Instant, max_lifetime: Span, credential_expires_at: Instant, secret_ends_at: Instant | None
) -> Instant:
    """``exp`` = min(maximum lifetime, credential expiry, secret end); it never moves."""
    ends = [now + max_lifetime, credential_expires_at]
    if secret_ends_at is not None:
        ends.append(secret_ends_at)
    return min(ends)
