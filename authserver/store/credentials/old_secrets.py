"""What was seen of the secrets that work beside their successors."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from authserver.rules.events.old_secret import OldSecret
from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import greatest
from authserver.store.engine.connections import reading
from authserver.store.tables import IS_SECRET, credentials, secrets, sessions

_NEW = select(secrets.c.client_id, secrets.c.first_used_at).where(IS_SECRET, secrets.c.ends_at.is_(None)).subquery()


def _query(dialect: str, now: Instant) -> Select[Any]:
    """Old secrets of credentials that work, with the first use of the successor and the last use of each; 0: never."""
    mine, new = secrets.c, _NEW.c
    by_token = (
        select(func.max(sessions.c.last_used_at))
        .where(sessions.c.client_id == mine.client_id, sessions.c.secret_id == mine.id)
        .correlate(secrets)
        .scalar_subquery()
    )
    used = greatest(dialect)(func.coalesce(mine.last_used_at, 0), func.coalesce(by_token, 0))
    both = secrets.join(_NEW, new.client_id == mine.client_id).join(
        credentials, credentials.c.client_id == mine.client_id
    )
    works = (credentials.c.deleted_at.is_(None), credentials.c.disabled_at.is_(None))
    return (
        select(mine.client_id, mine.id, func.coalesce(new.first_used_at, 0).label("new_used"), used.label("used"))
        .select_from(both)
        .where(IS_SECRET, mine.ends_at > now, *works)
    )


def find_old_secret(connection: Connection, client_id: str, now: Instant) -> OldSecret | None:
    """The old secret of a credential; None where only one works."""
    query = _query(connection.dialect.name, now).where(secrets.c.client_id == client_id)
    row = connection.execute(query).first()
    return None if row is None else _as_old_secret(row)


class SqlOldSecretReads:
    """``ports.OldSecretReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_credential(self, client_id: str, now: Instant) -> OldSecret | None:
        """The old secret of a credential; None where only one works."""
        with reading(self._engine) as connection:
            return find_old_secret(connection, client_id, now)

    def silent(self, since: Instant, now: Instant, limit: int) -> Sequence[OldSecret]:
        """Those that were last used up to ``since``, and whose successors were used by then."""
        found = _query(self._engine.dialect.name, now).subquery()
        due = (found.c.new_used > 0, found.c.new_used <= since, found.c.used <= since)
        with reading(self._engine) as connection:
            rows = connection.execute(select(found).where(*due).order_by(found.c.client_id).limit(limit)).all()
        return tuple(_as_old_secret(row) for row in rows)


def _as_old_secret(row: Any) -> OldSecret:
    return OldSecret(row.client_id, row.id, row.new_used or None, row.used or None)
