"""Counts by the hour for charts: buffered in memory, written in batches; and how it stands, looked at once a minute.

The charts read these rows alone, so that a page costs the same however many tokens and credentials there are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    update,
)

from authserver.ports.console_reads.statistics import (
    EXPIRIES,
    HOUR,
    KEPT,
    OPEN_CLASS,
    OTHERS,
    SECRET_AGES,
    WAYS,
    Measure,
)
from authserver.rules.facts import Instant, Span
from authserver.store.credentials.shared_secrets import count_apis, count_owners, count_ways
from authserver.store.engine.batch_statements import greatest, insert_for
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.pending_counts import PendingCounts
from authserver.store.tables import IS_SECRET, credentials, resource_servers, secrets, sessions, statistics

LOOK_SECONDS = 50
"""Whoever looks within so many seconds of another process leaves it at that."""

MOST_LABELS = 100
"""How many labels of a measure and hour a process tells apart; an attacker has more addresses than we have rows."""

_DAY = 24 * HOUR
_LOOKED, _LOOKED_HOURLY = "looked", "looked_hourly"
_MOST_HOLDERS = 10
_ROW = statistics.c

_Key = tuple[str, Instant, str]


class SqlStatistics:
    """``console_reads.StatisticsRecorder`` and ``StatisticsReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        added = insert_for(engine.dialect.name)(statistics).values({each.name: bindparam(each.name) for each in _ROW})
        key = ["measure", "hour", "label"]
        larger = greatest(engine.dialect.name)(_ROW.number, added.excluded.number)
        self._add = added.on_conflict_do_update(
            index_elements=key, set_={"number": _ROW.number + added.excluded.number}
        )
        self._set = added.on_conflict_do_update(index_elements=key, set_={"number": added.excluded.number})
        self._raise = added.on_conflict_do_update(index_elements=key, set_={"number": larger})
        self._pending: PendingCounts[_Key, int] = PendingCounts(add)
        self._labels: Counter[tuple[str, Instant]] = Counter()

    def after_fork(self) -> None:
        """Start empty in a child process: the parent writes what is buffered."""
        self._pending.reset()
        self._labels.clear()

    def count(self, measure: Measure, label: str, at: Instant) -> None:
        """Count one event of the hour of ``at``."""
        hour = at - at % HOUR
        key = (measure.value, hour, label[:64])
        with self._pending.lock:
            if key not in self._pending:
                if self._labels[measure.value, hour] >= MOST_LABELS:
                    key = (measure.value, hour, OTHERS)
                else:
                    self._labels[measure.value, hour] += 1
            self._pending.add(key, 1)

    def flush(self) -> None:
        """Write what was counted; what could not be written stays buffered.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._pending.lock:
            newest = max((hour for _, hour in self._labels), default=0)
            self._labels = Counter({at: number for at, number in self._labels.items() if at[1] >= newest - HOUR})
        self._pending.flush(self._write)

    def _write(self, pending: Mapping[_Key, int]) -> None:
        with writing(self._engine) as connection:
            connection.execute(self._add, _rows(pending))

    def look(self, now: Instant) -> bool:
        """Write down how it stands, and what ended this hour and the last; False where another just did.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with writing(self._engine) as connection:
            if not self._is_mine(connection, now, _LOOKED, LOOK_SECONDS):
                return False
            hourly = self._is_mine(connection, now, _LOOKED_HOURLY, HOUR)
        hour = now - now % HOUR
        ended = select(sessions.c.end_reason, func.count()).where(sessions.c.ended_at.is_not(None))
        ended = ended.group_by(sessions.c.end_reason)
        with reading(self._engine) as connection:
            found: dict[_Key, int] = {
                (Measure.ENDED.value, since, reason): number
                for since in (hour - HOUR, hour)
                for reason, number in connection.execute(
                    ended.where(sessions.c.ended_at >= since, sessions.c.ended_at < since + HOUR)
                )
            }
            found |= {(Measure.SECRET_AGES.value, 0, name): n for name, n in _secret_ages(connection, now).items()}
            found |= {(Measure.EXPIRIES.value, 0, name): n for name, n in _expiries(connection, now).items()}
            ways = zip(WAYS, count_ways(connection, now), strict=True)
            found |= {(Measure.WAYS.value, 0, name): n for name, n in ways}
            holders = _secret_holders(connection, now) if hourly else {}
            live = {(Measure.LIVE_TOKENS.value, hour, OTHERS): _live_tokens(connection, now)}
        with writing(self._engine) as connection:
            if hourly:  # who is left has no row of the last hour
                measures = (Measure.SECRET_OWNERS.value, Measure.SECRET_APIS.value)
                connection.execute(delete(statistics).where(_ROW.measure.in_(measures), _ROW.hour == 0))
            connection.execute(self._set, _rows({**found, **holders}))
            connection.execute(self._raise, _rows(live))
        return True

    def _is_mine(self, connection: Connection, now: Instant, what: str, seconds: Span) -> bool:
        mine = (_ROW.measure == what, _ROW.hour == 0, _ROW.label == OTHERS)
        if connection.execute(select(_ROW.number).where(*mine)).first() is None:
            connection.execute(self._set, _rows({(what, 0, OTHERS): now}))
            return True
        # A clock that was set back must not end it for ever.
        stale = (_ROW.number <= now - seconds) | (_ROW.number > now)
        return bool(connection.execute(update(statistics).where(*mine, stale).values(number=now)).rowcount)

    def sweep(self, now: Instant) -> None:
        """Delete what is older than a month, and make one row a day of the hours of days that are shown whole."""
        today = now - now % _DAY
        with writing(self._engine) as connection:
            connection.execute(delete(statistics).where(_ROW.hour > 0, _ROW.hour < now - KEPT))
            hours = (_ROW.hour > 0, _ROW.hour < today - _DAY, _ROW.hour % _DAY != 0)
            # Whoever deletes a row adds it up; of two processes the second finds none.
            gone = connection.execute(delete(statistics).where(*hours).returning(*_ROW)).all()
            sums: Counter[_Key] = Counter()
            highest: dict[_Key, int] = {}
            for measure, hour, label, number in gone:
                key = (measure, hour - hour % _DAY, label)
                if measure == Measure.LIVE_TOKENS.value:
                    highest[key] = max(highest.get(key, 0), number)
                else:
                    sums[key] += number
            for statement, found in ((self._add, sums), (self._raise, highest)):
                if found:
                    connection.execute(statement, _rows(found))

    def by_time(self, measure: Measure, since: Instant, step: Span) -> Mapping[Instant, Mapping[str, int]]:
        """Numbers by label for each ``step`` seconds that has any."""
        slot: ColumnElement[int] = _ROW.hour - _ROW.hour % literal(step, BigInteger, literal_execute=True)
        number = func.max(_ROW.number) if measure is Measure.LIVE_TOKENS else func.sum(_ROW.number)
        query = select(slot, _ROW.label, number).where(_ROW.measure == measure.value, _ROW.hour >= since)
        found: dict[Instant, dict[str, int]] = {}
        with reading(self._engine) as connection:
            for at, label, count in connection.execute(query.group_by(slot, _ROW.label)):
                found.setdefault(int(at), {})[label] = int(count)
        return found

    def totals(self, measure: Measure, since: Instant, most: int) -> Mapping[str, int]:
        """The labels with the highest sums, highest first."""
        total = func.sum(_ROW.number)
        query = select(_ROW.label, total).where(_ROW.measure == measure.value, _ROW.hour >= since)
        query = query.group_by(_ROW.label).order_by(total.desc(), _ROW.label).limit(most)
        with reading(self._engine) as connection:
            return {label: int(number) for label, number in connection.execute(query)}

    def latest(self, measure: Measure) -> Mapping[str, int]:
        """How it stood when it was last looked at."""
        return self._latest(measure.value)

    def looked_at(self) -> Instant | None:
        """When that was."""
        return self._latest(_LOOKED).get(OTHERS)

    def _latest(self, measure: str) -> Mapping[str, int]:
        query = select(_ROW.label, _ROW.number).where(_ROW.measure == measure, _ROW.hour == 0)
        with reading(self._engine) as connection:
            return {label: int(number) for label, number in connection.execute(query)}


def _rows(numbers: Mapping[_Key, int]) -> list[dict[str, Any]]:
    # In one order, so that two processes never wait for each other in a ring.
    names = ("measure", "hour", "label", "number")
    return [dict(zip(names, (*key, number), strict=True)) for key, number in sorted(numbers.items())]


def _classes(distance: ColumnElement[int], bounds: Sequence[int]) -> ColumnElement[str]:
    return case(*((distance <= days * _DAY, str(days)) for days in bounds), else_=OPEN_CLASS)


def _counted(connection: Connection, query: Any, bounds: Sequence[int]) -> dict[str, int]:
    empty = dict.fromkeys([*map(str, bounds), OPEN_CLASS], 0)
    return empty | dict(map(tuple, connection.execute(query)))


def _expiries(connection: Connection, now: Instant) -> dict[str, int]:
    name = _classes(credentials.c.expires_at - now, EXPIRIES).label("class")
    query = select(name, func.count()).where(*_live_credentials(now)).group_by(name)
    return _counted(connection, query, EXPIRIES)


def _secret_ages(connection: Connection, now: Instant) -> dict[str, int]:
    name = _classes(now - secrets.c.created_at, SECRET_AGES).label("class")
    query = select(name, func.count()).select_from(
        secrets.join(credentials, credentials.c.client_id == secrets.c.client_id)
    )
    works = (IS_SECRET, secrets.c.ends_at.is_(None) | (secrets.c.ends_at > now))
    return _counted(connection, query.where(*works, *_live_credentials(now)).group_by(name), SECRET_AGES)


def _secret_holders(connection: Connection, now: Instant) -> dict[_Key, int]:
    """By owner and by API; looked up once an hour, since it reads the usage of a month."""
    found: Counter[_Key] = Counter()
    for each in count_owners(connection, now, _MOST_HOLDERS):
        found[Measure.SECRET_OWNERS.value, 0, each.owner[:64]] += each.credentials
    for api in count_apis(connection, now, _MOST_HOLDERS):
        found[Measure.SECRET_APIS.value, 0, api.name[:64]] += api.credentials
    return found


def _live_credentials(now: Instant) -> Sequence[ColumnElement[bool]]:
    mine = credentials.c
    return (mine.deleted_at.is_(None), mine.disabled_at.is_(None), mine.expires_at > now)


def _live_tokens(connection: Connection, now: Instant) -> int:
    """Sessions not ended and not past their end, by the index of those alone."""
    known: Any = sessions.c.audience.in_(select(resource_servers.c.audience))
    alive = (sessions.c.ended_at.is_(None), known, sessions.c.expires_at > now)
    return int(connection.execute(select(func.count()).where(*alive)).scalar_one())
