"""The record of each token: one upsert for issue and use, one for its end.

A session row is not needed for a token to be valid: everything fixed at issue
is in the signed token, and "never used" means "last used when issued". So rows
may be written late and in batches; only an end must be durable before it is
told (INV-05).

An end that follows from nothing else on disk (revoked, ended by the owner, idle)
is appended to the change feed in the same transaction; the others follow from a
kill that is there already, or from a date in the token.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    union,
    update,
)

from authserver.ports.sessions import Session, SessionBacklog
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason
from authserver.rules.names import storable
from authserver.rules.token_hash import NOT_RECORDED
from authserver.store.engine.batch_statements import BatchUpdate, BatchUpsert, greatest, insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import (
    audit_head,
    form_keys,
    idempotency_keys,
    kills,
    sessions,
    token_requests,
    usage,
    usage_reports,
    usage_writers,
)
from authserver.store.tokens.revocations import append_revocations, lock_head


def _values(extra: Sequence[str]) -> dict[str, Any]:
    columns = [*SessionStart._fields, "last_used_at", *extra]
    return {name: bindparam(name, type_=sessions.c[name].type) for name in columns}


_NO_HASH: Any = literal_column(f"'{NOT_RECORDED}'")
"""In the text of the statement: what never changes need not be sent with each row."""


def recorded_uses(engine: Engine) -> BatchUpdate:
    """Move a session that was recorded forward; never backwards, never after the end.

    A row is the ``jti``, the last use, and its peer.
    """
    return BatchUpdate(
        engine,
        sessions,
        ("jti", "last_used_at", "last_used_peer"),
        lambda fresh: {
            "last_used_at": fresh.last_used_at,
            "last_used_peer": func.coalesce(fresh.last_used_peer, sessions.c.last_used_peer),
        },
        lambda fresh: and_(sessions.c.ended_at.is_(None), _newer(fresh)),
    )


def uses(engine: Engine) -> BatchUpsert:
    """Insert or move forward; never backwards, never after the end.

    A row is a ``SessionStart``, the last use, the peers of issue and use, and the hash of the token's text.
    """
    names = (*SessionStart._fields, "last_used_at", "issued_peer", "last_used_peer", "token_hash")
    return BatchUpsert(engine, sessions, names, partial(_merged_values, greatest(engine.dialect.name)), _changes_row)


def _newer(fresh: Any) -> Any:
    return sessions.c.last_used_at < fresh.last_used_at


def _merged_values(larger: Any, fresh: Any) -> dict[str, Any]:
    mine = sessions.c
    return {
        "last_used_at": larger(mine.last_used_at, fresh.last_used_at),
        "issued_peer": func.coalesce(mine.issued_peer, fresh.issued_peer),
        "last_used_peer": case(
            (_newer(fresh), func.coalesce(fresh.last_used_peer, mine.last_used_peer)),
            else_=func.coalesce(mine.last_used_peer, fresh.last_used_peer),
        ),
        "token_hash": case((_adds_hash(fresh), fresh.token_hash), else_=mine.token_hash),
    }


def _adds_hash(fresh: Any) -> Any:
    """Whether the fresh row has the hash that the other lacks: the issuing node came after one that saw a use."""
    return and_(func.coalesce(sessions.c.token_hash, _NO_HASH) == _NO_HASH, fresh.token_hash != _NO_HASH)


def _changes_row(fresh: Any) -> Any:
    # The node that issued the token may come after one that saw it used.
    unknown_peer = and_(sessions.c.issued_peer.is_(None), fresh.issued_peer.is_not(None))
    return and_(sessions.c.ended_at.is_(None), or_(_newer(fresh), unknown_peer, _adds_hash(fresh)))


def end_statement(dialect: str) -> Any:
    """Insert or end; the first end stands."""
    insert = insert_for(dialect)(sessions).values(_values(("ended_at", "end_reason")))
    return insert.on_conflict_do_update(
        index_elements=["jti"],
        set_={"ended_at": insert.excluded.ended_at, "end_reason": insert.excluded.end_reason},
        where=sessions.c.ended_at.is_(None),
    )


_FEED_REASONS = frozenset(
    {
        Reason.REVOKED,
        Reason.ENDED_BY_OWNER,
        Reason.IDLE,
        Reason.TYP_CHANGED,
        Reason.SESSION_LIMIT,
        Reason.LEAKED,
    }
)
_SWEEP_BATCH = 500
_MAX_PAUSE = 0.1
_KEPT_DAYS = 400
_REPORT_DAYS = 7
_DAY = 24 * 3600


def _recent() -> Select[Any]:
    most = bindparam("most", type_=Integer)
    mine = select(sessions.c.jti, sessions.c.issued_at).where(sessions.c.client_id == bindparam("client_id"))
    newest = mine.order_by(sessions.c.issued_at.desc()).limit(most).subquery()
    live = (
        mine.where(sessions.c.ended_at.is_(None), sessions.c.expires_at > bindparam("now"))
        .order_by(sessions.c.expires_at.desc())
        .limit(most)
        .subquery()
    )
    selected = union(select(newest.c.jti), select(live.c.jti)).subquery()
    query = select(sessions).join(selected, selected.c.jti == sessions.c.jti)
    return query.order_by(sessions.c.issued_at.desc(), sessions.c.jti)


_RECENT = _recent()


_ESTIMATES = {
    # Two subqueries: SQLite looks up one of the two ends by itself, but for both in one it reads the whole table.
    "sqlite": text("SELECT coalesce((SELECT max(rowid) FROM sessions) - (SELECT min(rowid) FROM sessions) + 1, 0)"),
    "postgresql": text(
        "SELECT CASE WHEN reltuples < 0 THEN (SELECT count(*) FROM sessions) ELSE reltuples END"
        " FROM pg_class WHERE oid = 'sessions'::regclass"
    ),
}
"""A count would read every row; what PostgreSQL has not analyzed yet is small."""


class SqlSessions:
    """``ports.Sessions``."""

    def __init__(self, engine: Engine, held: ThreadConnections) -> None:
        self._engine = engine
        self._statement = end_statement(engine.dialect.name)
        self._end = PreparedStatement(held, self._statement)

    def end(self, start: SessionStart, reason: Reason, at: Instant) -> None:
        """Durable before it returns; the first end stands."""
        values = ended_values(start, reason, at)
        if reason not in _FEED_REASONS:
            self._end.write(values)
            return
        with writing(self._engine) as connection:
            head = lock_head(connection)
            if connection.execute(self._statement.returning(sessions.c.jti), values).first():
                append_ends(connection, head, [start.jti], at)

    def end_all(self, ends: Sequence[tuple[SessionStart, Reason]], at: Instant) -> None:
        """Durable before it returns, in one transaction; the first end of each stands."""
        if not ends:
            return
        statement, feed_jtis = self._statement.returning(sessions.c.jti), []
        with writing(self._engine) as connection:
            head = lock_head(connection)
            # In the order in which the usage buffer writes them: two transactions never wait for each other in a ring.
            for start, reason in sorted(ends, key=lambda each: each[0].jti):
                if connection.execute(statement, ended_values(start, reason, at)).first() and reason in _FEED_REASONS:
                    feed_jtis.append(start.jti)
            append_ends(connection, head, feed_jtis, at)

    def end_known(self, jti: str, reason: Reason, at: Instant) -> bool:
        """End a session by its id; False when there is none that lives."""
        with writing(self._engine) as connection:
            head = lock_head(connection)
            ended = end_row(connection, jti, reason, at)
            if ended:
                append_ends(connection, head, [jti], at)
            return ended

    def find(self, jti: str) -> Session | None:
        """One kept session by its id."""
        if not storable(jti):
            return None
        with reading(self._engine) as connection:
            row = connection.execute(select(sessions).where(sessions.c.jti == jti)).first()
        return None if row is None else _as_session(row)

    def of_credential(self, client_id: str) -> Sequence[Session]:
        """All kept sessions of a credential, newest first."""
        query = (
            select(sessions)
            .where(sessions.c.client_id == client_id)
            .order_by(sessions.c.issued_at.desc(), sessions.c.jti)
        )
        with reading(self._engine) as connection:
            return tuple(_as_session(row) for row in connection.execute(query))

    def recent_of_credential(self, client_id: str, now: Instant, limit: int) -> Sequence[Session]:
        """The sessions that may live, and the newest of the others; ``limit`` of each kind at most, newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(_RECENT, {"client_id": client_id, "now": now, "most": limit}).all()
        return tuple(_as_session(row) for row in rows)

    def backlog(self, now: Instant, keep: int) -> SessionBacklog:
        """How many sessions are on record, as the database estimates, and how many seconds the sweep is behind."""
        with reading(self._engine) as connection:
            rows = connection.execute(_ESTIMATES[connection.dialect.name]).scalar_one()
            oldest = connection.execute(select(func.min(sessions.c.expires_at))).scalar_one()
        return SessionBacklog(int(rows), 0 if oldest is None else max(0, now - keep - oldest))

    def sweep(self, now: Instant, keep: int, seconds: float = math.inf, *, usage_days: int = _KEPT_DAYS) -> int:
        """Delete sessions that ended by ``exp`` more than ``keep`` seconds ago, and old usage and kills; how many rows.

        Some rows at a time, oldest first, and a pause as long as each took, so that nobody waits long for a lock.
        What is left after about so many ``seconds`` is for the next time.
        """
        old, until = now - _KEPT_DAYS * _DAY, time.monotonic() + seconds
        old_usage = now - usage_days * _DAY
        old_reports = usage_reports.c.at < now - _REPORT_DAYS * _DAY
        oldest_kills = select(kills.c.seq, kills.c.at).order_by(kills.c.seq).limit(_SWEEP_BATCH).subquery()
        return sum(
            self._sweep(table, page, until)
            for table, page in (
                (
                    sessions,
                    select(sessions.c.jti).where(sessions.c.expires_at < now - keep).order_by(sessions.c.expires_at),
                ),
                (usage, select(*usage.primary_key).where(usage.c.day < old_usage)),
                (token_requests, select(*token_requests.primary_key).where(token_requests.c.day < old_usage)),
                (form_keys, select(*form_keys.primary_key).where(form_keys.c.at < old)),
                (idempotency_keys, select(*idempotency_keys.primary_key).where(idempotency_keys.c.at < old)),
                (usage_writers, select(usage_writers.c.writer).where(usage_writers.c.at < now - _DAY)),
                (
                    usage_reports,
                    select(*usage_reports.primary_key).where(old_reports),
                ),
                (kills, select(oldest_kills.c.seq).where(oldest_kills.c.at < old)),
            )
        )

    def _sweep(self, table: Table, page: Select[Any], until: float) -> int:
        # Nodes sweep at the same time: each takes rows that no other has taken (PostgreSQL; SQLite has one writer).
        some = page.limit(_SWEEP_BATCH).with_for_update(skip_locked=True)
        statement = delete(table).where(tuple_(*table.primary_key).in_(some))
        with reading(self._engine) as connection:
            # Mostly there is nothing, and a look needs no write lock.
            if connection.execute(page.limit(1)).first() is None:
                return 0
        total = 0
        while True:
            began = time.monotonic()
            with writing(self._engine) as connection:
                deleted = connection.execute(statement).rowcount
            total += deleted
            now = time.monotonic()
            if deleted < _SWEEP_BATCH or now >= until:
                return total
            time.sleep(min(now - began, _MAX_PAUSE))


def _as_session(row: Any) -> Session:
    return Session(
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
        issued_peer=row.issued_peer,
        last_used_peer=row.last_used_peer,
    )


def ended_values(start: SessionStart, reason: Reason, at: Instant) -> dict[str, Any]:
    """The parameters of ``end_statement``."""
    return {**start._asdict(), "last_used_at": start.issued_at, "ended_at": at, "end_reason": reason.value}


def append_ends(connection: Connection, head: Any, jtis: Sequence[str], at: Instant) -> None:
    """Tell the change feed of ended sessions, in the transaction that locked the ``head``."""
    if jtis:
        last = append_revocations(connection, head.kill_seq, [("session", jti, at, 0) for jti in jtis])
        connection.execute(update(audit_head).values(kill_seq=last))


def end_row(connection: Any, jti: str, reason: Reason, at: Instant) -> bool:
    """End one row inside a transaction that is open already."""
    statement = (
        update(sessions)
        .where(sessions.c.jti == jti, sessions.c.ended_at.is_(None))
        .values(ended_at=at, end_reason=reason.value)
    )
    return bool(connection.execute(statement).rowcount)
