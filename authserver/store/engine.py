"""How connections are opened, on both databases, so that INV-21 and INV-25 hold.

SQLite: the wheel's own library, WAL, ``synchronous=FULL``, foreign keys, and
``BEGIN IMMEDIATE`` for everything that writes. PostgreSQL: durable commits and
time limits on every statement. Whatever a driver raises for "cannot be reached"
leaves this room as ``Unavailable``.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authserver.ports import Conflict, Unavailable

SQLITE_FLOOR = (3, 51, 3)
"""The first SQLite without the WAL-reset corruption."""

BUSY_SECONDS = 5
STATEMENT_SECONDS = 5


def sqlite_fault(version: tuple[int, ...]) -> str | None:
    """Say why a SQLite version must not be used, or None."""
    if version >= SQLITE_FLOOR:
        return None
    shown = ".".join(map(str, version))
    return f"SQLite {shown} can corrupt a WAL database; install the pinned requirements (pysqlite3 carries a fixed one)"


def engine_options(url: str) -> dict[str, Any]:
    """Give the options Flask-SQLAlchemy makes the engine with.

    Raises:
        Unavailable: the SQLite library is one of those that corrupt WAL databases.
    """
    if url.startswith("sqlite"):
        fault = sqlite_fault(sqlite.sqlite_version_info)
        if fault:
            raise Unavailable(fault)
        return {"module": sqlite, "connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
    limits = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={BUSY_SECONDS}s -c synchronous_commit=on"
    return {
        "pool_pre_ping": True,
        "pool_timeout": BUSY_SECONDS,
        "connect_args": {"connect_timeout": BUSY_SECONDS, "options": limits + " -c timezone=UTC"},
    }


def prepare(engine: Engine) -> None:
    """Install the connection rules on an engine that has not been used yet."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def honest_errors() -> Iterator[None]:
    """Turn what drivers raise into ``Unavailable`` or ``Conflict``."""
    try:
        yield
    except IntegrityError as error:
        msg = "that is taken already"
        raise Conflict(msg) from error
    except (DBAPIError, PoolTimeout) as error:
        msg = "the database cannot be reached now"
        raise Unavailable(msg) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one durable transaction that holds the write lock from its first statement."""
    with honest_errors(), engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that only reads."""
    with honest_errors(), engine.connect() as connection, connection.begin():
        yield connection


class Prepared:
    """A statement written in SQLAlchemy Core, compiled once, run on a held connection.

    The hot paths pay for the driver and the database, not for building SQL. Each
    thread holds one connection in autocommit; a broken one is replaced and the
    statement tried once more, which is sound because only reads and idempotent
    upserts are prepared.
    """

    def __init__(self, held: "HeldConnections", statement: Executable) -> None:
        compiled = cast("Any", statement).compile(dialect=held.dialect)
        self._held = held
        self._sql = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """Values in the driver's own shape."""
        merged = {**self._fixed, **values}
        if self._order is None:
            return merged
        return [merged[name] for name in self._order]

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run it; the first row."""
        rows = self.rows(values)
        return rows[0] if rows else None

    def rows(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it; all rows."""
        return cast("list[tuple[Any, ...]]", self._held.run(self._sql, self.arguments(values), fetch=True))

    def write(self, values: Mapping[str, Any]) -> int:
        """Run it as a transaction of its own, durable on return; how many rows changed."""
        return cast("int", self._held.run(self._sql, self.arguments(values), fetch=False))

    @property
    def sql(self) -> str:
        """The text as the driver gets it."""
        return self._sql


class HeldConnections:
    """One autocommit driver connection per thread, outside the pool."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect = engine.dialect
        self._local = threading.local()
        self._open: set[Any] = set()
        self._errors = (engine.dialect.loaded_dbapi.Error, DBAPIError, OSError)

    def run(self, sql: str, arguments: Any, *, fetch: bool) -> Any:
        """Run one statement, once more on a fresh connection if the held one broke."""
        with_held = getattr(self._local, "connection", None) is not None
        try:
            return self._run(sql, arguments, fetch=fetch)
        except self._errors as error:
            self.drop()
            if not with_held or self.dialect.name == "sqlite":
                msg = "the database cannot be reached now"
                raise Unavailable(msg) from error
        try:
            return self._run(sql, arguments, fetch=fetch)
        except self._errors as error:
            self.drop()
            msg = "the database cannot be reached now"
            raise Unavailable(msg) from error

    def _run(self, sql: str, arguments: Any, *, fetch: bool) -> Any:
        cursor = self._connection().execute(sql, arguments)
        return cursor.fetchall() if fetch else cursor.rowcount

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            fairy = self._engine.raw_connection()
            fairy.detach()
            connection = cast("Any", fairy.dbapi_connection)
            if self.dialect.name == "postgresql":
                connection.autocommit = True
                connection.prepare_threshold = 0
            self._local.connection = connection
            self._open.add(connection)
        return connection

    def drop(self) -> None:
        """Close this thread's connection, if any."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            self._open.discard(connection)
            self._close(connection)

    def close(self) -> None:
        """Close every thread's connection."""
        self._local = threading.local()
        while self._open:
            self._close(self._open.pop())

    def _close(self, connection: Any) -> None:
        with suppress(*self._errors):
            connection.close()
