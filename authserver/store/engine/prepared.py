"""Statements written once in SQLAlchemy Core, prepared once, and run on a held connection.

The hot paths pay for the database, not for building SQL nor for a driver's
conveniences: each thread holds one connection in autocommit, outside the pool,
and the statement is prepared on it. On PostgreSQL it is run by libpq itself,
which psycopg lets us reach; psycopg still reads the answer. What cannot be
reached leaves this room as ``Unavailable``, like everything in this services.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast
from weakref import WeakSet

from sqlalchemy import Engine, Executable
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authserver.ports.errors import Invalid, Unavailable
from authserver.store.engine.connections import UNSTORABLE
from authserver.store.engine.failures import unreached
from authserver.store.engine.pooler import POOLED
from authserver.store.engine.sqlite_prepared import PreparedConnection, Rows, SqlitePreparedConnection


class PreparedStatement:
    """One statement, run on this thread's held connection.

    Where a connection broke the statement is tried once more on a new one, which is
    sound because only reads and idempotent upserts are prepared.
    """

    def __init__(self, held: "ThreadConnections", statement: Executable) -> None:
        # libpq counts its parameters; drivers of SQLite take them in order.
        dialect = PGDialect(paramstyle="numeric_dollar") if held.on_postgresql else held.dialect  # type: ignore[no-untyped-call]
        compiled = cast("Any", statement).compile(dialect=dialect)
        self.sql = str(compiled)
        self._held = held
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._arguments = _in_order(compiled.positiontup, fixed)

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run it; the first row."""
        rows = self.rows(values)
        return rows[0] if rows else None

    def rows(self, values: Mapping[str, Any]) -> Rows:
        """Run it; all rows."""
        return self._held.run(self.sql, self._arguments(values))[0]

    def write(self, values: Mapping[str, Any]) -> int:
        """Run it as a transaction of its own, durable on return; how many rows changed."""
        return self._held.run(self.sql, self._arguments(values))[1]


def _in_order(names: Sequence[str], fixed: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Make what puts the values of a statement, and those that never change, into the order of its parameters."""
    if not names:
        return lambda _values: ()
    if not fixed and len(names) > 1:
        return itemgetter(*names)  # in C: the hot paths come here
    return lambda values: [{**fixed, **values}[name] for name in names]


class ThreadConnections:
    """One connection for each thread; it ends with its thread."""

    def __init__(self, engine: Engine, pragmas: Sequence[str] = ()) -> None:
        """Hold connections of an engine; ``pragmas`` are for those of SQLite."""
        self._engine, self._pragmas = engine, pragmas
        self.dialect = engine.dialect
        self.on_postgresql = engine.dialect.name == "postgresql"
        self._kind: type[PreparedConnection] = (
            _postgres_connection() if self.on_postgresql else SqlitePreparedConnection
        )
        self._local = threading.local()
        self._open: WeakSet[PreparedConnection] = WeakSet()
        self.on_new: Callable[[], object] | None = None
        """Called on each new connection before anything else is asked there: it may lead to another server."""
        self._data_errors = (engine.dialect.loaded_dbapi.DataError, UnicodeError, OverflowError)
        self._errors = (engine.dialect.loaded_dbapi.Error, DBAPIError, PoolTimeout, OSError)

    def run(self, sql: str, arguments: Sequence[Any]) -> tuple[Rows, int]:
        """Run one statement, once more on a fresh connection if the held one broke.

        Raises:
            Invalid: a value no database can hold.
            Unavailable: the database cannot be reached.
        """
        connection: PreparedConnection | None = getattr(self._local, "connection", None)
        try:
            return (connection or self._new()).run(sql, arguments)
        except self._data_errors as error:
            raise Invalid(UNSTORABLE) from error
        except self._errors as error:
            # A limit that struck would strike again, and double the wait; only a dead connection is worth a new one.
            retry = connection is not None and connection.is_broken_by(error)
            self.drop()
            if not retry:
                raise Unavailable(unreached(error)) from error
        try:
            return self._new().run(sql, arguments)
        except self._errors as error:
            self.drop()
            raise Unavailable(unreached(error)) from error

    def _new(self) -> PreparedConnection:
        fairy = self._engine.raw_connection()
        fairy.detach()
        connection = self._kind(fairy.dbapi_connection, pooled=bool(fairy.info.get(POOLED)))
        for pragma in self._pragmas:
            connection.run(f"PRAGMA {pragma}", ())
        self._local.connection = connection
        self._open.add(connection)
        if self.on_new is not None:
            try:
                self.on_new()
            except BaseException:
                self.drop()
                raise
        return connection

    def drop(self) -> None:
        """Close this thread's connection, if any."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close every thread's connection."""
        self._local = threading.local()
        for connection in list(self._open):
            connection.close()

    def __len__(self) -> int:
        """How many connections are held."""
        return len(self._open)


def _postgres_connection() -> type[PreparedConnection]:
    # Imported where it is needed: a server on SQLite has no use for psycopg in its memory.
    from authserver.store.engine.postgres_prepared import PostgresPreparedConnection  # noqa: PLC0415

    return PostgresPreparedConnection
