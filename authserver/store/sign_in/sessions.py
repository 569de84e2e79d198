"""Console sessions. Only a hash of a session's id is stored, so a copy of the table is no sign-in."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, bindparam, delete, insert, select, update

from authserver.ports.sign_in import ConsoleSession, CurrentUser, Identity, Preferences
from authserver.ports.users import User
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.store.engine.connections import reading, writing
from authserver.store.rows.accounts import as_user, user_by_id
from authserver.store.tables import console_preferences, console_sessions, identities, login_links, users

_VISIT = (
    select(
        *(each for each in console_sessions.c if each.name != "created_at"),
        console_sessions.c.created_at.label("began_at"),
        *(users.c[name] for name in ("id", "username", "role_version", "disabled_at", "created_at")),
        *(console_preferences.c[name] for name in ("language", "zone", "theme", "shortcuts")),
    )
    .join(users, users.c.id == console_sessions.c.user_id)
    .outerjoin(console_preferences, console_preferences.c.user_id == console_sessions.c.user_id)
    .where(console_sessions.c.id_hash == bindparam("id_hash"))
)


class SqlSignIns:
    """``ports.SignIns``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def password_of(self, username: str) -> tuple[User, str | None] | None:
        """Find a user by name, with the hash of the password."""
        if not storable(username):
            return None
        query = select(users.c.id, users.c.password_hash).where(users.c.folded_username == username.casefold())
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
            return None if row is None else (user_by_id(connection, row.id), row.password_hash)

    def current_user(self, id_hash: str) -> CurrentUser | None:
        """The console session with this id, and its user as of now."""
        with reading(self._engine) as connection:
            row = connection.execute(_VISIT, {"id_hash": id_hash}).first()
            if row is None:
                return None
            user = as_user(connection, row)
        likes = Preferences() if row.language is None else _as_preferences(row)
        return CurrentUser(_as_session(row, row.began_at), user, likes, row.pending)

    def seen(self, id_hash: str, at: Instant) -> None:
        """Record a request in this session."""
        mine = (console_sessions.c.id_hash == id_hash, console_sessions.c.last_seen_at < at)
        self._write(update(console_sessions).where(*mine).values(last_seen_at=at))

    def renew(self, id_hash: str, fresh_hash: str, proof_at: Instant) -> bool:
        """Give a sign-in a new id after a new proof; False when it is gone."""
        mine = console_sessions.c.id_hash == id_hash
        values = {"id_hash": fresh_hash, "proof_at": proof_at, "last_seen_at": proof_at}
        return self._write(update(console_sessions).where(mine).values(**values)) > 0

    def set_pending(self, id_hash: str, pending: str) -> None:
        """Keep what waits for the next page."""
        self._write(update(console_sessions).where(console_sessions.c.id_hash == id_hash).values(pending=pending))

    def close(self, id_hash: str) -> None:
        """End a sign-in by its id."""
        self._write(delete(console_sessions).where(console_sessions.c.id_hash == id_hash))

    def of_user(self, user_id: str) -> Sequence[ConsoleSession]:
        """All sign-ins of a user that are on record, newest first."""
        mine = select(console_sessions).where(console_sessions.c.user_id == user_id)
        newest = (console_sessions.c.last_seen_at.desc(), console_sessions.c.handle)
        with reading(self._engine) as connection:
            return tuple(_as_session(row, row.created_at) for row in connection.execute(mine.order_by(*newest)))

    def set_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Keep how a user likes the console."""
        values = {
            "language": preferences.language,
            "zone": preferences.zone,
            "theme": preferences.theme,
            "shortcuts": int(preferences.shortcuts),
        }
        mine = console_preferences.c.user_id == user_id
        with writing(self._engine) as connection:
            # The user's row is the lock that two of the same user's tabs queue up at.
            connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update()).one()
            if not connection.execute(update(console_preferences).where(mine).values(**values)).rowcount:
                connection.execute(insert(console_preferences).values(user_id=user_id, **values))

    def identity_owner(self, issuer: str, subject: str) -> User | None:
        """The user of this identity; None when it is linked to none."""
        mine = (identities.c.issuer == issuer, identities.c.subject == subject)
        with reading(self._engine) as connection:
            user_id = connection.execute(select(identities.c.user_id).where(*mine)).scalar_one_or_none()
            return None if user_id is None else user_by_id(connection, user_id)

    def identities_of(self, user_id: str) -> Sequence[Identity]:
        """The identities of a user, by issuer and subject."""
        mine = select(identities).where(identities.c.user_id == user_id)
        with reading(self._engine) as connection:
            rows = connection.execute(mine.order_by(identities.c.issuer, identities.c.subject))
            return tuple(Identity(row.issuer, row.subject, row.created_at) for row in rows)

    def link_owner(self, link_hash: str, at: Instant) -> User | None:
        """Whose one-time link this is; None when it is unknown, over, or was used."""
        unspent = (login_links.c.hash == link_hash, login_links.c.used_at.is_(None), login_links.c.expires_at > at)
        with reading(self._engine) as connection:
            user_id = connection.execute(select(login_links.c.user_id).where(*unspent)).scalar_one_or_none()
            return None if user_id is None else user_by_id(connection, user_id)

    def sweep(self, before: Instant) -> int:
        """Forget sign-ins not seen since, and links that were over by then; how many."""
        gone = self._write(delete(console_sessions).where(console_sessions.c.last_seen_at < before))
        return gone + self._write(delete(login_links).where(login_links.c.expires_at < before))

    def _write(self, statement: Any) -> int:
        with writing(self._engine) as connection:
            return int(connection.execute(statement).rowcount)


def _as_session(row: Any, began_at: Instant) -> ConsoleSession:
    return ConsoleSession(
        handle=row.handle,
        user_id=row.user_id,
        method=row.method,
        created_at=began_at,
        last_seen_at=row.last_seen_at,
        proof_at=row.proof_at,
        ends_at=row.ends_at,
        peer=row.peer,
        agent=row.agent,
    )


def _as_preferences(row: Any) -> Preferences:
    return Preferences(row.language, row.zone, row.theme, bool(row.shortcuts))
