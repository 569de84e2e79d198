"""Holds a token request to the limits of its credential: how often it may ask, and how many sessions it may have."""

from authserver.ports.errors import TooManyRequests, Unavailable
from authserver.ports.hot_path import IssueFacts
from authserver.ports.sessions import TokenLimits
from authserver.ports.usage import UsageRecorder
from authserver.rules.claims import SessionStart
from authserver.rules.client_authentication.restrictions import NONE, Restrictions, restrictions_of


def known_restrictions(facts: IssueFacts) -> Restrictions:
    """What the credential is held to.

    Raises:
        Unavailable: this version cannot tell; to issue all the same would lift a restriction (INV-24).
    """
    try:
        return NONE if facts.restrictions is None else restrictions_of(facts.restrictions)
    except ValueError as error:
        msg = "the restrictions of a credential were written by a newer version"
        raise Unavailable(msg) from error


def count_request(facts: IssueFacts, limits: TokenLimits, usage: UsageRecorder) -> None:
    """Count the request of an authenticated client, whatever becomes of it; a guess of somebody else is not counted.

    Raises:
        TooManyRequests: its credential has sent as many in the last minute as it may.
        Unavailable: it cannot be counted.
    """
    rate = known_restrictions(facts).rate
    wait = limits.take(facts.client_id, rate, facts.now) if rate else 0
    if wait:
        raise _refused("rate_limited", wait, facts, usage)


def admit_session(
    facts: IssueFacts, start: SessionStart, token_hash: str, limits: TokenLimits, usage: UsageRecorder
) -> None:
    """Record the session of a new token, where the number of live ones is limited.

    Raises:
        TooManyRequests: as many live as may, and the oldest does not make way.
        Unavailable: it cannot be recorded.
    """
    held = known_restrictions(facts)
    if not held.sessions:
        return
    wait = limits.admit(
        start,
        token_hash=token_hash,
        most=held.sessions,
        end_oldest=held.end_oldest,
        idle_timeout=facts.idle_timeout,
        now=facts.now,
    )
    if wait:
        raise _refused("sessions_full", wait, facts, usage)


def _refused(reason: str, wait: int, facts: IssueFacts, usage: UsageRecorder) -> TooManyRequests:
    usage.refused(facts.client_id, reason, facts.now)
    return TooManyRequests(reason, wait)
