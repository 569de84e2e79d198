"""The idle rule: a token that is not used for the idle timeout is dead (INV-06).

Use is an authorised introspection that answered active, or a use a resource
server reports. A token never used counts from the moment it was issued. The
stated tolerance is two seconds: see ``USE_TOLERANCE``.
"""

from authserver.rules.facts import Instant, Reason, Span, Standing, Token, over

USE_TOLERANCE: Span = 2
"""ε: a token used at least every ``T - ε`` never idles out; one unused for ``T + ε`` is never active."""


def unused_too_long(token: Token, now: Instant, standing: Standing) -> Reason | None:
    """Dead once the idle timeout has passed since the last use, or any earlier timeout had."""
    if over(now, idle_end(token, standing)) or token.last_used_at < standing.used_since:
        return Reason.IDLE
    return None


def idle_end(token: Token, standing: Standing) -> Instant:
    """The second from which the token is dead unless it is used before."""
    return idle_end_of_use(token.last_used_at, standing)


def idle_end_of_use(used_at: Instant, standing: Standing) -> Instant:
    """The same for a token whose last use was at ``used_at``."""
    return used_at + standing.idle_timeout


def used_since(now: Instant, idle_timeout: Span) -> Instant:
    """Who was last used before this has idled out by ``now``, whatever the timeout will be (INV-05, INV-06).

    Asked when the timeout changes. A use that another node has not written yet is at most ε old.
    """
    return now - idle_timeout - USE_TOLERANCE + 1
