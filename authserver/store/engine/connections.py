"""How connections are opened, on both databases, so that INV-21 and INV-25 hold.

SQLite: a file of mode 600, a safe journal mode (``sqlite_library``), ``synchronous=FULL``, foreign keys, and
``BEGIN IMMEDIATE`` for everything that writes. PostgreSQL: durable commits and time limits on every statement.
Whatever a driver raises for "cannot be reached" becomes ``Unavailable`` with its reason (``failures``), a unique value
given twice ``Conflict``, and a text no database can hold ``Invalid`` (INV-28).
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authserver.ports.errors import Conflict, Invalid, Unavailable
from authserver.store.engine.failures import unreached
from authserver.store.engine.pooler import MARK, POOLED, Mode, Pooler, is_pooled
from authserver.store.engine.sqlite_library import journal_mode, sqlite, version_fault

BUSY_SECONDS = 5
STATEMENT_SECONDS = 5
IDLE_SECONDS = 30
"""How long PostgreSQL lets a transaction of ours do nothing before it ends it, and its locks with it."""

UNSTORABLE = "a text holds a character, or a number a size, that no database can keep"
_DUPLICATE = "23505"


def engine_options(url: str) -> dict[str, Any]:
    """Give the options Flask-SQLAlchemy makes the engine with.

    Raises:
        Unavailable: the SQLite library is too old.
    """
    if url.startswith("sqlite"):
        fault = version_fault(sqlite.sqlite_version_info)
        if fault:
            raise Unavailable(fault)
        return {
            "module": sqlite,
            "connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False},
            "hide_parameters": True,
        }
    settings = _limits() | {
        MARK: "1",
        "timezone": "UTC",
        # To compile a statement takes longer than to run the longest of ours.
        "jit": "off",
        # And to start a helper longer than to read what a page looks at; the load has the other cores.
        "max_parallel_workers_per_gather": "0",
    }
    return {
        # An error's text may be logged; the values of its statement never (INV-20).
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_timeout": BUSY_SECONDS,
        "connect_args": {
            "connect_timeout": BUSY_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            # A peer that vanished without a word is given up as fast as one that is slow.
            "keepalives_idle": BUSY_SECONDS,
            "keepalives_interval": 1,
            "keepalives_count": BUSY_SECONDS,
            "tcp_user_timeout": 2 * BUSY_SECONDS * 1000,
        },
    }


def _limits() -> dict[str, str]:
    """What every transaction on PostgreSQL must have."""
    return {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{BUSY_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "synchronous_commit": "on",
    }


def prepare(engine: Engine, pooler: Mode = "auto") -> None:
    """Install the connection rules on an engine that has not been used yet; ``pooler`` as in ``pooler.Pooler``."""
    if engine.dialect.name != "sqlite":
        _prepare_postgresql(engine, Pooler(pooler, _limits()))
        return

    @event.listens_for(engine, "do_connect")
    def _create_private(_dialect: object, _record: object, arguments: list[Any], _options: dict[str, Any]) -> None:
        # SQLite would make the file readable for everybody; -wal and -shm take over its mode.
        with suppress(OSError):
            os.close(os.open(arguments[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        _set_journal_mode(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_postgresql(engine: Engine, pooler: Pooler) -> None:
    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        return pooler.connect(dialect, arguments, options)

    @event.listens_for(engine, "connect")
    def _detect_pooler(_connection: object, record: Any) -> None:
        record.info[POOLED] = pooler.found

    @event.listens_for(engine, "begin")
    def _limit(connection: Connection) -> None:
        if is_pooled(connection):
            connection.exec_driver_sql(pooler.set_local)

    @event.listens_for(engine, "checkin")
    def _reset_mode(connection: Any, _record: object) -> None:
        # SQLAlchemy resets "read only" to "read write", which would overrule a database that an
        # operator has set to read only; None leaves the choice to the database.
        if connection is not None and not connection.closed:
            connection.read_only = None


def _set_journal_mode(cursor: Any) -> None:
    # The one statement SQLite does not wait for: another process may be turning it on just now.
    mode, deadline = journal_mode(), time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode={mode}")
        except sqlite.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _is_duplicate(error: IntegrityError) -> bool:
    return getattr(error.orig, "sqlstate", None) == _DUPLICATE or str(error.orig).startswith("UNIQUE constraint")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what drivers raise into ``Unavailable``, ``Conflict`` or ``Invalid``."""
    try:
        yield
    except IntegrityError as error:
        if _is_duplicate(error):
            msg = "that is taken already"
            raise Conflict(msg) from error
        # A row or a trigger says no: nothing was written, and asking again may not help, but it is not the caller.
        raise Unavailable(unreached(error)) from error
    except (DataError, UnicodeError, OverflowError) as error:
        raise Invalid(UNSTORABLE) from error
    except (DBAPIError, PoolTimeout) as error:
        raise Unavailable(unreached(error)) from error


@dataclass(frozen=True, slots=True)
class _SharedReading:
    """The transaction all reads of a context are in; ``over`` ends it."""

    engine: Engine
    connection: Connection
    stack: ExitStack


_SHARED: ContextVar[_SharedReading | None] = ContextVar("shared_reading", default=None)


@contextmanager
def shared_snapshot(engine: Engine) -> Iterator[None]:
    """Read everything in one transaction that only reads, so that a page pays for one and sees one instant.

    It is over with the first statement that fails, and before anything is written:
    nobody holds two connections, and who has written reads what was written.
    """
    before = _SHARED.get()
    with ExitStack() as stack:
        _SHARED.set(_SharedReading(engine, stack.enter_context(_snapshot(engine)), stack))
        try:
            yield
        finally:
            _SHARED.set(before)


def _shared(engine: Engine) -> _SharedReading | None:
    shared = _SHARED.get()
    return shared if shared is not None and shared.engine is engine else None


def _end_shared(shared: _SharedReading) -> None:
    _SHARED.set(None)
    shared.stack.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one durable transaction that holds the write lock from its first statement."""
    with translate_errors():
        shared = _shared(engine)
        if shared is not None:
            _end_shared(shared)
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a read-only transaction whose statements see one snapshot, or join the ``shared_snapshot``."""
    shared = _shared(engine)
    if shared is None:
        with _snapshot(engine) as connection:
            yield connection
        return
    with translate_errors():
        try:
            yield shared.connection
        except DBAPIError:
            # PostgreSQL answers nothing more in a transaction of which a statement failed.
            _end_shared(shared)
            raise


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    with translate_errors(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection
