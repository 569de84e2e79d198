"""How connections are opened, on both databases, so that INV-21 and INV-25 hold.

SQLite: the wheel's own library, WAL, ``synchronous=FULL``, foreign keys, and
``BEGIN IMMEDIATE`` for everything that writes. PostgreSQL: durable commits and
time limits on every statement. Whatever a driver raises for "cannot be reached"
leaves this room as ``Unavailable``, a unique value given twice as ``Conflict``,
and a text no database can hold as ``Invalid`` (INV-28).
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast
from weakref import WeakSet

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authserver.ports import Conflict, Invalid, Unavailable

SQLITE_FLOOR = (3, 51, 3)
"""The first SQLite without the WAL-reset corruption."""

BUSY_SECONDS = 5
STATEMENT_SECONDS = 5
IDLE_SECONDS = 30
"""How long PostgreSQL lets a transaction of ours do nothing before it ends it, and its locks with it."""

_UNREACHED = "the database cannot be reached now"
_UNSTORABLE = "a text holds a character, or a number a size, that no database can keep"
_DUPLICATE = "23505"
_ENDED_BY_SERVER = ("08", "57P")


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
        return {
            "module": sqlite,
            "connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False},
            "hide_parameters": True,
        }
    limits = {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{BUSY_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "synchronous_commit": "on",
        "timezone": "UTC",
    }
    return {
        # An error's text may be logged; the values of its statement never (INV-20).
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_timeout": BUSY_SECONDS,
        "connect_args": {
            "connect_timeout": BUSY_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
            # A peer that vanished without a word is given up as fast as one that is slow.
            "keepalives_idle": BUSY_SECONDS,
            "keepalives_interval": 1,
            "keepalives_count": BUSY_SECONDS,
            "tcp_user_timeout": 2 * BUSY_SECONDS * 1000,
        },
    }


def prepare(engine: Engine) -> None:
    """Install the connection rules on an engine that has not been used yet."""
    if engine.dialect.name != "sqlite":

        @event.listens_for(engine, "checkin")
        def _forget_mode(connection: Any, _record: object) -> None:
            # SQLAlchemy resets "read only" to "read write", which would overrule a database that an
            # operator has set to read only; None leaves the choice to the database.
            if connection is not None and not connection.closed:
                connection.read_only = None

        return

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        _turn_on_wal(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _turn_on_wal(cursor: Any) -> None:
    # The one statement SQLite does not wait for: another process may be turning it on just now.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def storable(text: str) -> bool:
    """Whether every database can hold a text: no NUL, and nothing that has no UTF-8."""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def _is_duplicate(error: IntegrityError) -> bool:
    return getattr(error.orig, "sqlstate", None) == _DUPLICATE or str(error.orig).startswith("UNIQUE constraint")


@contextmanager
def honest_errors() -> Iterator[None]:
    """Turn what drivers raise into ``Unavailable``, ``Conflict`` or ``Invalid``."""
    try:
        yield
    except IntegrityError as error:
        if _is_duplicate(error):
            msg = "that is taken already"
            raise Conflict(msg) from error
        # A row or a trigger says no: nothing was written, and asking again may not help, but it is not the caller.
        raise Unavailable(_UNREACHED) from error
    except (DataError, UnicodeError, OverflowError) as error:
        raise Invalid(_UNSTORABLE) from error
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable(_UNREACHED) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one durable transaction that holds the write lock from its first statement."""
    with honest_errors(), engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that only reads, and whose statements all see the same instant."""
    with honest_errors(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
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
        merged = {**self._fixed, **values} if self._fixed else values
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
    """One autocommit driver connection per thread, outside the pool; it ends with its thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect = engine.dialect
        self._local = threading.local()
        self._open: WeakSet[_Line] = WeakSet()
        self._unfit = (engine.dialect.loaded_dbapi.DataError, UnicodeError, OverflowError)
        self._errors = (engine.dialect.loaded_dbapi.Error, DBAPIError, PoolTimeout, OSError)

    def run(self, sql: str, arguments: Any, *, fetch: bool) -> Any:
        """Run one statement, once more on a fresh connection if the held one broke."""
        held = getattr(self._local, "line", None)
        try:
            return self._run(sql, arguments, fetch=fetch)
        except self._unfit as error:
            raise Invalid(_UNSTORABLE) from error
        except self._errors as error:
            self.drop()
            # A limit that struck would strike again, and double the wait; only a dead connection is worth a new one.
            if held is None or not _broke(held.connection, error):
                raise Unavailable(_UNREACHED) from error
        try:
            return self._run(sql, arguments, fetch=fetch)
        except self._errors as error:
            self.drop()
            raise Unavailable(_UNREACHED) from error

    def _run(self, sql: str, arguments: Any, *, fetch: bool) -> Any:
        cursor = self._connection().execute(sql, arguments)
        return cursor.fetchall() if fetch else cursor.rowcount

    def _connection(self) -> Any:
        line = getattr(self._local, "line", None)
        if line is None:
            fairy = self._engine.raw_connection()
            fairy.detach()
            line = _Line(cast("Any", fairy.dbapi_connection))
            if self.dialect.name == "postgresql":
                line.connection.autocommit = True
                line.connection.prepare_threshold = 0
            self._local.line = line
            self._open.add(line)
        return line.connection

    def drop(self) -> None:
        """Close this thread's connection, if any."""
        line = getattr(self._local, "line", None)
        self._local.line = None
        if line is not None:
            line.close()

    def close(self) -> None:
        """Close every thread's connection."""
        self._local = threading.local()
        for line in list(self._open):
            line.close()

    def __len__(self) -> int:
        """How many connections are held."""
        return len(self._open)


class _Line:
    """One driver connection. It closes with the thread that held it, and only in the process that opened it."""

    __slots__ = ("__weakref__", "_process", "connection")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._process = os.getpid()

    def close(self) -> None:
        if os.getpid() != self._process:
            # After a fork the other end talks to the parent: even a good-bye would end the parent's connection.
            _PARENTS.append(self.connection)
            return
        with suppress(Exception):
            self.connection.close()

    def __del__(self) -> None:
        self.close()


_PARENTS: list[Any] = []
"""Connections of the parent process; kept so that nothing closes them here."""


def _broke(connection: Any, error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None) or ""
    return bool(getattr(connection, "broken", False)) or state.startswith(_ENDED_BY_SERVER)
