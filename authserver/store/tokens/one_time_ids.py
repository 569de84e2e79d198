"""Records ids that are good once, durably, before anybody relies on it.

A commit waits for the disk, and one wait can serve many. PostgreSQL lets commits of many connections share one by
itself, so there each claim is one prepared statement on its thread's connection. SQLite has one writer at a time:
claims that come at the same time in one process share a transaction; whoever finds the write under way waits for its
end and then writes for all who came meanwhile.

On SQLite a claim of which it is known when its assertion was made does not wait for the disk at all. What is written
without waiting outlives the process, also one that is killed, and is lost only with the machine, at most what came
since the last write that did wait. So what was made before the machine started is not taken: nobody can tell whether it
was used. A client makes an assertion for each request, and is refused only if it made one before and sends it after.

A statement is sent again where its connection broke. If the first had been committed, the second finds the id used, and
the client is refused and asks anew: never the other way round.
"""

import threading
import time
from typing import Any

from sqlalchemy import BigInteger, Engine, String, bindparam, delete, select

from authserver.ports.errors import Unavailable
from authserver.rules.facts import Instant, Span
from authserver.store.engine.batch_statements import insert_for
from authserver.store.engine.connections import writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.engine.sqlite_library import journal_mode
from authserver.store.tables import one_time_ids

_SWEPT_AT_ONCE = 2_000
SKEW: Span = 60
"""How far ahead of ours the clock may have run that says when something was made; the widest that a rule grants."""


def machine_started_at(now: Instant) -> Instant | None:
    """When this machine was started, by its clock that also runs while it sleeps; None where it has none."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else now - int(time.clock_gettime(clock))


class _Claim:
    __slots__ = ("error", "expires_at", "first", "id_hash", "now")

    def __init__(self, id_hash: str, expires_at: Instant, now: Instant) -> None:
        self.id_hash, self.expires_at, self.now = id_hash, expires_at, now
        self.first: bool | None = None
        self.error: Exception | None = None


class SqlOneTimeIds:
    """``ports.OneTimeIds``."""

    def __init__(self, engine: Engine, held: ThreadConnections) -> None:
        self._engine = engine
        row = insert_for(engine.dialect.name)(one_time_ids).values(
            id_hash=bindparam("id_hash", type_=String), expires_at=bindparam("expires_at", type_=BigInteger)
        )
        # An id that has had its time may be used again; the sweep need not have come by.
        self._insert: Any = row.on_conflict_do_update(
            index_elements=["id_hash"],
            set_={"expires_at": row.excluded.expires_at},
            where=one_time_ids.c.expires_at <= bindparam("now", type_=BigInteger),
        ).returning(one_time_ids.c.id_hash)
        self._alone = PreparedStatement(held, self._insert) if held.on_postgresql else None
        self._quickly = ThreadConnections(engine, ("synchronous=NORMAL",))
        may_be_quick = not held.on_postgresql and journal_mode() == "wal"
        self._quick = PreparedStatement(self._quickly, self._insert) if may_be_quick else None
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty in a child process: what waits is the parent's."""
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[_Claim] = []
        self._quickly.close()

    def close(self) -> None:
        """Close the connections."""
        self._quickly.close()

    def claim(self, id_hash: str, expires_at: Instant, now: Instant, made_at: Instant | None = None) -> bool:
        """Use an id up; whether this was the first use.

        Raises:
            Unavailable: it cannot be recorded.
        """
        values = {"id_hash": id_hash, "expires_at": expires_at, "now": now}
        if self._alone is not None:
            return self._alone.row(values) is not None
        started_at = machine_started_at(now) if self._quick is not None and made_at is not None else None
        if self._quick is not None and made_at is not None and started_at is not None:
            if made_at < started_at + SKEW:
                return False
            with self._writing:  # rather than let SQLite turn threads of this process away, and have them wait
                return self._quick.row(values) is not None
        mine = _Claim(id_hash, expires_at, now)
        with self._lock:
            self._waiting.append(mine)
        with self._writing:
            if mine.first is None and mine.error is None:
                with self._lock:
                    batch, self._waiting = self._waiting, []
                self._write(batch)
        if mine.first is None:
            msg = "ids that are good once cannot be recorded now"
            raise Unavailable(msg) from mine.error
        return mine.first

    def _write(self, batch: list[_Claim]) -> None:
        """Write all, or fail for all that wait."""
        outcomes: list[bool] = []
        try:
            # In one order for all nodes, so that two transactions never wait for each other in a ring.
            batch.sort(key=lambda each: each.id_hash)
            with writing(self._engine) as connection:
                for each in batch:
                    values = {"id_hash": each.id_hash, "expires_at": each.expires_at, "now": each.now}
                    outcomes.append(connection.execute(self._insert, values).first() is not None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be raised in each thread that waits
            for each in batch:
                each.error = error
            return
        for each, first in zip(batch, outcomes, strict=True):
            each.first = first

    def sweep(self, now: Instant) -> int:
        """Forget what could not be used any more, a few at a time."""
        some = select(one_time_ids.c.id_hash).where(one_time_ids.c.expires_at <= now).limit(_SWEPT_AT_ONCE)
        count = 0
        while True:
            with writing(self._engine) as connection:
                gone = connection.execute(delete(one_time_ids).where(one_time_ids.c.id_hash.in_(some))).rowcount
            count += gone
            if gone < _SWEPT_AT_ONCE:
                return count
