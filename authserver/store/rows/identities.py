"""Rows of identities at other providers, as one change writes them."""

from sqlalchemy import Connection, delete, insert, select

from authserver.ports.errors import Conflict, NotFound
from authserver.rules.facts import Instant
from authserver.store.tables import console_sessions, identities


def insert_identity(connection: Connection, user_id: str, issuer: str, subject: str, at: Instant) -> None:
    """Join an identity to a user."""
    taken = select(identities.c.user_id).where(identities.c.issuer == issuer, identities.c.subject == subject)
    if connection.execute(taken).first():
        msg = "that identity is linked already; `flask users identities` shows to whom"
        raise Conflict(msg)
    connection.execute(insert(identities).values(issuer=issuer, subject=subject, user_id=user_id, created_at=at))


def delete_identity(connection: Connection, user_id: str, issuer: str, subject: str) -> None:
    """Take it away, and end what was signed in to by any provider."""
    mine = (identities.c.user_id == user_id, identities.c.issuer == issuer, identities.c.subject == subject)
    if not connection.execute(delete(identities).where(*mine)).rowcount:
        msg = "that identity is not linked to this user"
        raise NotFound(msg)
    by_provider = (console_sessions.c.user_id == user_id, console_sessions.c.method == "oidc")
    connection.execute(delete(console_sessions).where(*by_provider))
