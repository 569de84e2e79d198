"""Rows of sign-ins and one-time links, as one change writes them."""

from sqlalchemy import Connection, delete, insert, update

from authserver.ports.errors import NotFound
from authserver.ports.sign_in import ConsoleSession
from authserver.rules.facts import Instant
from authserver.store.tables import console_sessions, login_links


def insert_session(connection: Connection, session: ConsoleSession, id_hash: str, pending: str) -> None:
    """Begin a sign-in."""
    connection.execute(
        insert(console_sessions).values(
            id_hash=id_hash,
            handle=session.handle,
            user_id=session.user_id,
            method=session.method,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            proof_at=session.proof_at,
            ends_at=session.ends_at,
            peer=session.peer,
            agent=session.agent,
            pending=pending,
        )
    )


def delete_session(connection: Connection, user_id: str, handle: str) -> bool:
    """End one sign-in of a user."""
    mine = (console_sessions.c.user_id == user_id, console_sessions.c.handle == handle)
    return connection.execute(delete(console_sessions).where(*mine)).rowcount > 0


def delete_sessions(connection: Connection, user_id: str, but: str) -> int:
    """End all sign-ins of a user but one."""
    mine = (console_sessions.c.user_id == user_id, console_sessions.c.handle != but)
    return connection.execute(delete(console_sessions).where(*mine)).rowcount


def insert_link(connection: Connection, user_id: str, link_hash: str, at: Instant, expires_at: Instant) -> None:
    """Keep a one-time link."""
    connection.execute(
        insert(login_links).values(hash=link_hash, user_id=user_id, created_at=at, expires_at=expires_at)
    )


def spend_link(connection: Connection, link_hash: str, at: Instant) -> str:
    """Use up a link; whose it is. One statement decides, so of many at once one succeeds."""
    unspent = (login_links.c.hash == link_hash, login_links.c.used_at.is_(None), login_links.c.expires_at > at)
    spent = update(login_links).where(*unspent).values(used_at=at).returning(login_links.c.user_id)
    user_id: str | None = connection.execute(spent).scalar_one_or_none()
    if user_id is None:
        msg = "this link was used, or is too old; ask for a new one"
        raise NotFound(msg)
    return user_id
