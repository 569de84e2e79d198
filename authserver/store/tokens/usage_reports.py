"""Usage reports of resource servers: the tokens they name, and what counts of them, written at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, bindparam, select

from authserver.ports.clock import Clock
from authserver.ports.errors import Conflict
from authserver.ports.hot_path import CallingResourceServer, SessionRecord
from authserver.ports.usage import JudgeUses, ReportedToken, TakenReport
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.store.engine.batch_statements import insert_for
from authserver.store.tables import credentials, secrets, sessions, settings, signing_keys, usage_reports, users
from authserver.store.tokens.hot_path import STANDING, as_standing, database_now, end_reason
from authserver.store.tokens.usage_buffer import SqlUsageBuffer

_AT_ONCE = 500
_START = tuple(sessions.c[name] for name in SessionStart._fields)
_RECORD = (sessions.c.last_used_at, sessions.c.end_reason, sessions.c.token_hash, sessions.c.ended_at)


def _query(dialect: str) -> Select[Any]:
    """The time, and the tokens of an audience among some; one row with the time alone when there are none."""
    mine = and_(sessions.c.audience == bindparam("audience"), sessions.c.jti.in_(bindparam("jtis", expanding=True)))
    return (
        select(database_now(dialect), *_START, *_RECORD, *STANDING)
        .select_from(
            settings.outerjoin(sessions, mine)
            .outerjoin(credentials, credentials.c.client_id == sessions.c.client_id)
            .outerjoin(users, users.c.id == credentials.c.owner_id)
            .outerjoin(
                secrets, and_(secrets.c.id == sessions.c.secret_id, secrets.c.client_id == credentials.c.client_id)
            )
            .outerjoin(signing_keys, signing_keys.c.kid == sessions.c.kid)
        )
        .where(settings.c.id == 1)
    )


class SqlUsageReports:
    """``ports.UsageReports``."""

    def __init__(self, engine: Engine, buffer: SqlUsageBuffer, clock: Clock) -> None:
        self._buffer, self._clock = buffer, clock
        self._query = _query(engine.dialect.name)
        claim = insert_for(engine.dialect.name)(usage_reports).on_conflict_do_nothing()
        self._claim = claim.returning(usage_reports.c.report_id)

    def take(
        self, caller: CallingResourceServer, report_id: str, digest: str, jtis: Sequence[str], judge: JudgeUses
    ) -> TakenReport:
        """Read the tokens of a report, and write what ``judge`` lets count of it, in one transaction."""
        own = {"resource_server_id": caller.id, "report_id": report_id}
        with self._buffer.reporting() as connection:
            tokens, now = self._tokens(connection, caller.audience, jtis)
            counted = judge(tokens, now)
            accepted = sum(use.times for _, use in counted)
            claimed = connection.execute(self._claim, {**own, "digest": digest, "at": now, "accepted": accepted})
            if claimed.first() is None:
                return TakenReport(_earlier(connection, own, digest), tokens, (), now)
            self._buffer.write_reported(connection, caller.id, counted)
            return TakenReport(accepted, tokens, counted, now)

    def _tokens(
        self, connection: Connection, audience: str, jtis: Sequence[str]
    ) -> tuple[list[ReportedToken], Instant]:
        wanted = [jti for jti in jtis if storable(jti)]
        rows: list[Any] = []
        for first in range(0, max(len(wanted), 1), _AT_ONCE):
            some = wanted[first : first + _AT_ONCE]
            rows += connection.execute(self._query, {"audience": audience, "jtis": some})
        return [_token(tuple(row[1:])) for row in rows if row.jti is not None], self._clock.now(rows[0].now)


def _earlier(connection: Connection, own: Mapping[str, str], digest: str) -> int:
    """How many uses counted when the report came first.

    Raises:
        Conflict: it had other uses then.
    """
    mine = usage_reports.c
    earlier = connection.execute(
        select(mine.accepted, mine.digest).where(*(mine[name] == value for name, value in own.items()))
    ).one()
    if earlier.digest not in {None, digest}:  # the version before wrote none
        msg = "this report_id came before with other uses; draw a new one for each report"
        raise Conflict(msg)
    return int(earlier.accepted)


def _token(row: tuple[Any, ...]) -> ReportedToken:
    start, rest = SessionStart(*row[: len(_START)]), row[len(_START) :]
    last_used_at, reason, token_hash, ended_at = rest[: len(_RECORD)]
    record = SessionRecord(last_used_at, end_reason(reason), token_hash)
    return ReportedToken(start, record, ended_at, as_standing(rest[len(_RECORD) :]))
