"""Reads what ended with the instant it was written, and a token that each end must have ended."""

from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, bindparam, select

from authserver.ports.changes import Kill
from authserver.ports.clock import Clock
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant
from authserver.store.engine.clock import database_time, milliseconds
from authserver.store.engine.connections import reading
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import audit_head, credentials, kills, resource_servers, secrets, sessions


class SqlKillReads:
    """``ports.KillReads``."""

    def __init__(self, engine: Engine, held: ThreadConnections, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        entry = (kills.c.seq, kills.c.kind, kills.c.subject, kills.c.at, kills.c.value, kills.c.stamped_ms)
        # One statement each time the probe looks, and nearly always one row, of the head alone.
        behind = kills.c.seq > bindparam("after")
        newest = select(*entry).where(behind).order_by(kills.c.seq.desc()).limit(bindparam("most")).subquery()
        self._newest = PreparedStatement(
            held, select(audit_head.c.kill_seq, newest).select_from(audit_head.outerjoin(newest, newest.c.seq > 0))
        )
        self._now = PreparedStatement(held, select(milliseconds(held.dialect.name)))

    def kills(self, after: int | None, most: int) -> tuple[int, list[Kill]]:
        """The newest entries behind a number, oldest first, and the number of the last entry."""
        if after is None:
            return self._newest.rows({"after": 0, "most": 0})[0][0], []
        rows = self._newest.rows({"after": after, "most": most})
        found = [Kill(*row[1:]) for row in rows if row[1] is not None and row[6] is not None]
        return rows[0][0], sorted(found)

    def token_ended_by(self, kill: Kill) -> SessionStart | None:
        """A token on record that was to live on without this end."""
        now = self._clock.now(database_time(self._engine))
        ended = _ended_by(kill, now)
        if ended is None:
            return None
        with reading(self._engine) as connection:
            columns = [sessions.c[name] for name in SessionStart._fields]
            query = select(*columns).where(ended, sessions.c.expires_at > now).limit(1)
            row = connection.execute(query).first()
        return None if row is None else SessionStart(*row)

    def clock_ms(self) -> int:
        """What the database's clock says, in milliseconds."""
        return int(self._now.rows({})[0][0])


def _ended_by(kill: Kill, now: Instant) -> ColumnElement[bool] | None:
    """Which sessions an entry ended, read by an index; None for what ends by a date or judges by a new setting."""
    token, subject = sessions.c, kill.subject
    live = token.ended_at.is_(None)
    of_an_api: Any = token.audience.in_(select(resource_servers.c.audience))
    theirs = select(credentials.c.client_id).where(credentials.c.owner_id == subject)
    of_secrets = select(secrets.c.id).where(secrets.c.client_id == subject, secrets.c.ends_at <= now)
    by_kind = {
        "session": token.jti == subject,
        "credential": and_(token.client_id == subject, token.credential_version < kill.value, live),
        "role_version": and_(token.client_id.in_(theirs), token.role_version < kill.value, live),
        "secret": and_(token.client_id == subject, token.secret_id.in_(of_secrets), live),
        "key": and_(of_an_api, token.kid == subject, live),
        "epoch": and_(of_an_api, token.epoch < kill.value, live),
    }
    if kill.kind == "secret" and kill.value > now:
        return None
    return by_kind.get(kill.kind)
