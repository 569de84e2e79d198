"""Usage reports of resource servers: the tokens they name, and what counts of them, written at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, select

from authserver.ports.errors import Conflict
from authserver.ports.hot_path import SessionRecord
from authserver.ports.usage import ReportedToken, ReportedUse
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant
from authserver.rules.names import storable
from authserver.store.engine.batch_statements import insert_for
from authserver.store.engine.connections import reading
from authserver.store.tables import credentials, secrets, sessions, settings, signing_keys, usage_reports, users
from authserver.store.tokens.hot_path import STANDING, as_standing, end_reason
from authserver.store.tokens.usage_buffer import SqlUsageBuffer

_AT_ONCE = 500
_START = tuple(sessions.c[name] for name in SessionStart._fields)
_RECORD = (sessions.c.last_used_at, sessions.c.end_reason, sessions.c.token_hash, sessions.c.ended_at)
_QUERY = select(*_START, *_RECORD, *STANDING).select_from(
    sessions.join(settings, settings.c.id == 1)
    .outerjoin(credentials, credentials.c.client_id == sessions.c.client_id)
    .outerjoin(users, users.c.id == credentials.c.owner_id)
    .outerjoin(secrets, and_(secrets.c.id == sessions.c.secret_id, secrets.c.client_id == credentials.c.client_id))
    .outerjoin(signing_keys, signing_keys.c.kid == sessions.c.kid)
)


class SqlUsageReports:
    """``ports.UsageReports``."""

    def __init__(self, engine: Engine, buffer: SqlUsageBuffer) -> None:
        self._engine, self._buffer = engine, buffer

    def tokens(self, audience: str, jtis: Sequence[str]) -> Sequence[ReportedToken]:
        """The recorded tokens of an audience among these, as of one instant."""
        wanted = [jti for jti in jtis if storable(jti)]
        found: list[ReportedToken] = []
        with reading(self._engine) as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                some = sessions.c.jti.in_(wanted[first : first + _AT_ONCE])
                rows = connection.execute(_QUERY.where(sessions.c.audience == audience, some))
                found += [_token(tuple(row)) for row in rows]
        return found

    def take(
        self,
        server_id: str,
        report_id: str,
        digest: str,
        uses: Sequence[tuple[SessionStart, ReportedUse]],
        at: Instant,
    ) -> int:
        """Write the uses and that the report was taken, in one transaction; how many uses were counted."""
        accepted = sum(use.times for _, use in uses)
        row = {
            "resource_server_id": server_id,
            "report_id": report_id,
            "digest": digest,
            "at": at,
            "accepted": accepted,
        }

        def claim(connection: Connection) -> bool:
            statement = insert_for(self._engine.dialect.name)(usage_reports).values(row).on_conflict_do_nothing()
            return connection.execute(statement.returning(usage_reports.c.report_id)).first() is not None

        if self._buffer.write_at_once(server_id, uses, claim):
            return accepted
        own_report = and_(usage_reports.c.resource_server_id == server_id, usage_reports.c.report_id == report_id)
        with reading(self._engine) as connection:
            earlier = connection.execute(
                select(usage_reports.c.accepted, usage_reports.c.digest).where(own_report)
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
