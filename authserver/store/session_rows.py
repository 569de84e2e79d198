"""The record of each token: one upsert for issue and use, one for its end.

A session row is not needed for a token to be valid: everything fixed at issue
is in the signed token, and "never used" means "last used when issued". So rows
may be written late and in batches; only an end must be durable before it is
told (INV-05).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, and_, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authserver.ports import Session
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason
from authserver.store.engine import HeldConnections, Prepared, reading, writing
from authserver.store.tables import sessions


def insert_for(dialect: str) -> Any:
    """The dialect's own insert, which knows ``ON CONFLICT``."""
    return postgresql_insert if dialect == "postgresql" else sqlite_insert


def greatest(dialect: str) -> Any:
    """The scalar maximum, which the two databases call by different names."""
    return func.greatest if dialect == "postgresql" else func.max


def _values(extra: Sequence[str]) -> dict[str, Any]:
    columns = [*SessionStart.__dataclass_fields__, "last_used_at", *extra]
    return {name: bindparam(name, type_=sessions.c[name].type) for name in columns}


def use_statement(dialect: str) -> Any:
    """Insert or move forward; never backwards, never after the end."""
    insert = insert_for(dialect)(sessions).values(_values(()))
    return insert.on_conflict_do_update(
        index_elements=["jti"],
        set_={"last_used_at": insert.excluded.last_used_at},
        where=and_(sessions.c.ended_at.is_(None), sessions.c.last_used_at < insert.excluded.last_used_at),
    )


def end_statement(dialect: str) -> Any:
    """Insert or end; the first end stands."""
    insert = insert_for(dialect)(sessions).values(_values(("ended_at", "end_reason")))
    return insert.on_conflict_do_update(
        index_elements=["jti"],
        set_={"ended_at": insert.excluded.ended_at, "end_reason": insert.excluded.end_reason},
        where=sessions.c.ended_at.is_(None),
    )


class SqlSessions:
    """``ports.Sessions``."""

    def __init__(self, engine: Engine, held: HeldConnections) -> None:
        self._engine = engine
        self._end = Prepared(held, end_statement(engine.dialect.name))

    def end(self, start: SessionStart, reason: Reason, at: Instant) -> None:
        """Durable before it returns; the first end stands."""
        record = asdict(start)
        self._end.write({**record, "last_used_at": start.issued_at, "ended_at": at, "end_reason": reason.value})

    def end_known(self, jti: str, reason: Reason, at: Instant) -> bool:
        """End a session by its id; False when there is none that lives."""
        with writing(self._engine) as connection:
            return end_row(connection, jti, reason, at)

    def of_credential(self, client_id: str) -> Sequence[Session]:
        """All kept sessions of a credential, newest first."""
        query = (
            select(sessions)
            .where(sessions.c.client_id == client_id)
            .order_by(sessions.c.issued_at.desc(), sessions.c.jti)
        )
        with reading(self._engine) as connection:
            return tuple(
                Session(
                    jti=row.jti,
                    client_id=row.client_id,
                    secret_id=row.secret_id,
                    kid=row.kid,
                    audience=row.audience,
                    roles=tuple(row.roles.split()),
                    role_version=row.role_version,
                    credential_version=row.credential_version,
                    epoch=row.epoch,
                    issued_at=row.issued_at,
                    expires_at=row.expires_at,
                    last_used_at=row.last_used_at,
                    ended_at=row.ended_at,
                    end_reason=row.end_reason,
                )
                for row in connection.execute(query)
            )

    def sweep(self, now: Instant, keep: int) -> int:
        """Delete what ended by ``exp`` more than ``keep`` seconds ago; how many."""
        with writing(self._engine) as connection:
            return connection.execute(delete(sessions).where(sessions.c.expires_at < now - keep)).rowcount


def end_row(connection: Any, jti: str, reason: Reason, at: Instant) -> bool:
    """End one row inside a transaction that is open already."""
    statement = (
        update(sessions)
        .where(sessions.c.jti == jti, sessions.c.ended_at.is_(None))
        .values(ended_at=at, end_reason=reason.value)
    )
    return bool(connection.execute(statement).rowcount)
