"""Which resource servers fetch the change feed, and how far: buffered in memory, written in batches."""

from collections.abc import Mapping

from sqlalchemy import Engine, bindparam, func, select

from authserver.ports.resource_servers import ResourceServerActivity
from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import greatest, insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.pending_counts import PendingCounts
from authserver.store.tables import audit_head, feed_fetches, usage, usage_reports

_ROW = feed_fetches.c
_HOUR = 3600
_DAY = 24 * _HOUR
_DAYS = 7

_Fetches = tuple[int, Instant, int]
"""How many fetches, the last instant, and the entry up to which the feed was fetched."""


class SqlFeedFetches:
    """``ports.FeedFetches``, and the traffic of a resource server for its page."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        dialect = engine.dialect.name
        added = insert_for(dialect)(feed_fetches).values({each.name: bindparam(each.name) for each in _ROW})
        self._add = added.on_conflict_do_update(
            index_elements=["resource_server_id"],
            set_={
                "fetches": _ROW.fetches + added.excluded.fetches,
                "fetched_at": greatest(dialect)(_ROW.fetched_at, added.excluded.fetched_at),
                "seq": greatest(dialect)(_ROW.seq, added.excluded.seq),
            },
        )
        self._pending: PendingCounts[str, _Fetches] = PendingCounts(
            lambda older, newer: (older[0] + newer[0], max(older[1], newer[1]), max(older[2], newer[2]))
        )
        self.after_fork = self._pending.reset

    def fetched(self, server_id: str, at: Instant, seq: int) -> None:
        """Buffer that a resource server has fetched the change feed up to entry ``seq``."""
        self._pending.add(server_id, (1, at, seq))

    def flush(self) -> None:
        """Write the buffered fetches; those that could not be written stay buffered.

        Raises:
            Unavailable: the database does not take it.
        """
        self._pending.flush(self._write)

    def _write(self, fetches: Mapping[str, _Fetches]) -> None:
        names = ("resource_server_id", "fetches", "fetched_at", "seq")
        rows = [dict(zip(names, (key, *value), strict=True)) for key, value in sorted(fetches.items())]
        with writing(self._engine) as connection:
            connection.execute(self._add, rows)

    def activity(self, server_id: str, now: Instant) -> ResourceServerActivity:
        """What a resource server has sent lately, as of one instant; what other processes buffer is not in it."""
        self.flush()
        mine, reports = usage.c.resource_server_id == server_id, usage_reports.c
        since = now - now % _DAY - (_DAYS - 1) * _DAY
        calls = select(func.coalesce(func.sum(usage.c.uses), 0)).where(mine, usage.c.day >= since)
        last_report = select(func.max(reports.at)).where(reports.resource_server_id == server_id)
        hourly = select(func.count()).where(reports.resource_server_id == server_id, reports.at > now - _HOUR)
        with reading(self._engine) as connection:
            fetched = connection.execute(select(feed_fetches).where(_ROW.resource_server_id == server_id)).first()
            newest = connection.execute(select(audit_head.c.kill_seq)).scalar_one()
            return ResourceServerActivity(
                last_report_at=connection.execute(last_report).scalar_one(),
                reports_last_hour=connection.execute(hourly).scalar_one(),
                feed_fetched_at=None if fetched is None else fetched.fetched_at,
                feed_behind=0 if fetched is None else max(0, newest - fetched.seq),
                calls_per_hour=round(int(connection.execute(calls).scalar_one()) * _HOUR / max(now - since, _HOUR)),
            )
