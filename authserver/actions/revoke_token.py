"""End a token for good: by its client (RFC 7009)."""

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
    """End a token; a text that is no token of ours is ended already (RFC 7009 §2.2).

    Args:
        client_id: the client that proved its secret.
        start: what a verified token was issued as, or None for a text that is no token of ours.
        now: the instant the client was proven at.
        sessions: where the end is written before it is told.

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
