"""How long an active answer may be trusted by the resource server that got it: the freshness lease.

An extension of RFC 7662 §2.2. Who asks again at the end of each lease never idles out a token in use, and accepts a
dead one for no longer than the staleness bound S of its resource server.
"""

from authserver.rules.facts import Instant, Span, Standing, Token

_ROUNDING: Span = 1
"""``now`` is the last whole second: an end that is N seconds away may be nearer by almost one."""

_IDLE_SHARE = 2
"""A lease takes half of the idle timeout; the other half is there to ask again, or to report the uses."""


def lease_seconds(token: Token, now: Instant, standing: Standing, max_staleness: Span) -> Span:
    """Whole seconds from ``now``, which is a use: S, and no longer than anything that is known to end the token."""
    ends = [token.expires_at, token.issued_at + standing.max_lifetime, standing.credential_expires_at]
    if standing.secret_ends_at is not None:
        ends.append(standing.secret_ends_at)
    return max(0, min(max_staleness, standing.idle_timeout // _IDLE_SHARE, min(ends) - now - _ROUNDING))
