"""How long somebody is signed in to the console, and how long a proof of who they are is good.

Lengths are seconds. Every life is half-open, as everywhere.
"""

from typing import Final

from authserver.rules.facts import Instant, Span, over

IDLE: Final[Span] = 30 * 60
"""Signed out when nothing was asked for so long."""

ABSOLUTE: Final[Span] = 12 * 3600
"""Signed out however busy."""

RECENT: Final[Span] = 10 * 60
"""How old a proof may be for an act that hands out power, such as a new secret."""

JUST_NOW: Final[Span] = 5 * 60
"""How old a proof may be for the worst acts: regenerate, delete, change roles, end a key."""

LINK_LIFE: Final[Span] = 15 * 60
"""How long a one-time link is good."""


def signed_out(now: Instant, last_seen_at: Instant, ends_at: Instant) -> bool:
    """Whether a session is over."""
    return over(now, last_seen_at + IDLE) or over(now, ends_at)


def proof_too_old(now: Instant, proof_at: Instant, span: Span) -> bool:
    """Whether the password must be asked again."""
    return over(now, proof_at + span)
