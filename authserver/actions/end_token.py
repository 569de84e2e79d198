"""End a token for good: by its client (RFC 7009)."""

from collections.abc import Mapping
from typing import Any

from authserver.actions.introspect import started
from authserver.actions.issue_token import Authenticated
from authserver.ports import Refusal, Sessions
from authserver.rules.facts import Reason


class NotYours(Refusal):
    """RFC 7009 §2.1: the token was issued to another client."""

    code = "invalid_grant"


def revoke(
    who: Authenticated, token: tuple[str, Mapping[str, Any]] | None, *, issuer: str, sessions: Sessions
) -> None:
    """End a token; a text that is no token of ours is ended already (RFC 7009 §2.2).

    Raises:
        NotYours: the token of another client; it stays alive.
        Unavailable: the end could not be written.
    """
    start = started(*token, issuer) if token else None
    if start is None:
        return
    if start.client_id != who.facts.client_id:
        msg = "The token was issued to another client."
        raise NotYours(msg)
    sessions.end(start, Reason.REVOKED, who.facts.now)
