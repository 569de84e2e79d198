"""Revoke a token for its client (RFC 7009)."""

from authserver.ports.errors import InvalidGrant
from authserver.ports.sessions import Sessions
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason


def revoke(
    client_id: str,
    start: SessionStart | None,
    now: Instant,
    *,
    sessions: Sessions,
) -> None:
    """Revoke a token; an unknown token is a success without effect (RFC 7009 §2.2).

    Args:
        client_id: the authenticated client.
        start: what a verified token was issued as, or None for an unknown token.
        now: when the client was authenticated, seconds of UTC.
        sessions: writes the end before the answer is sent.

    Raises:
        InvalidGrant: the token of another client; it stays alive.
        Unavailable: the end could not be written.
    """
    if start is None:
        return
    if start.client_id != client_id:
        msg = "The token was issued to another client."
        raise InvalidGrant(msg)
    sessions.end(start, Reason.REVOKED, now)
