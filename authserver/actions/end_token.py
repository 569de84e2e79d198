"""End a token for good: by its client (RFC 7009)."""

from collections.abc import Mapping
from typing import Any

from authserver.ports import NotYours, Sessions
from authserver.rules.claims import session_of
from authserver.rules.facts import Instant, Reason


def revoke(
    client_id: str,
    token: tuple[str, Mapping[str, Any]] | None,
    now: Instant,
    *,
    issuer: str,
    sessions: Sessions,
) -> None:
    """End a token; a text that is no token of ours is ended already (RFC 7009 §2.2).

    Args:
        client_id: the client that proved its secret.
        token: ``kid`` and verified claims, or None for a text that is no token of ours.
        now: the instant the client was proven at.
        issuer: our issuer identifier.
        sessions: where the end is written before it is told.

    Raises:
        NotYours: the token of another client; it stays alive.
        Unavailable: the end could not be written.
    """
    start = session_of(*token, issuer) if token else None
    if start is None:
        return
    if start.client_id != client_id:
        msg = "The token was issued to another client."
        raise NotYours(msg)
    sessions.end(start, Reason.REVOKED, now)
