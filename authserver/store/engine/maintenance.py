"""What an operator does to the database itself: its schema, its clock, its safety settings, a copy of it.

Looking never makes a database: a SQLite file that is not there stays away.
Migrations need an application context, because ``migrations/env.py`` does.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from authserver.ports.errors import Conflict, Invalid, Unavailable
from authserver.rules.facts import Instant
from authserver.store.engine.clock import database_time
from authserver.store.engine.connections import reading, translate_errors
from authserver.store.engine.pooler import LIMIT_COMMAND, is_pooled, unlimited
from authserver.store.engine.schema import Schema, file_of, revision_of, schema_of
from authserver.store.engine.sqlite_library import journal_cost, journal_mode, sqlite

if TYPE_CHECKING:
    from authserver.store.engine.migrations import Step, Steps


@dataclass(frozen=True, slots=True)
class Fact:
    """Something the database promises or fails to; ``fix`` says what to do when not ``good``."""

    name: str
    value: str
    good: bool
    fix: str = ""


class Maintenance:
    """One database and the migrations that belong to it."""

    def __init__(self, engine: Engine, migrations: Path) -> None:
        self._engine, self._migrations = engine, migrations

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @property
    def place(self) -> str:
        """Where the database is, without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None."""
        return file_of(self._engine.url)

    def schema(self) -> Schema:
        """Compare the schema with the migrations of this program.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return schema_of(self._engine)

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema up to ``revision``.

        Raises:
            Invalid: there is no such migration.
            Unavailable: the database cannot be reached.
        """
        if revision != "head" or schema_of(self._engine).state not in {"current", "ahead"}:
            self._migration_steps().upgrade(revision)

    def downgrade(self, revision: str) -> None:
        """Take the schema back to ``revision``; what only a newer schema can hold is lost.

        Raises:
            Invalid: there is no such migration.
            Unavailable: the database cannot be reached.
        """
        self._migration_steps().downgrade(revision)

    def history(self) -> tuple["Step", ...]:
        """All migrations of this program, newest first."""
        return self._migration_steps().history(revision_of(self._engine))

    def differences(self) -> tuple[str, ...]:
        """How the database differs from the tables of this program; empty when it does not.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return self._migration_steps().differences()

    def _migration_steps(self) -> "Steps":
        # Only who migrates pays for Alembic: it is 7 MB, and a fifth of the time to start.
        from authserver.store.engine.migrations import Steps  # noqa: PLC0415

        return Steps(self._migrations)

    def pooler_fault(self) -> str:
        """What a connection pooler costs in safety and how to mend it; empty where nothing is amiss.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reading(self._engine) as connection:
            if is_pooled(connection) and unlimited(connection):
                return f"behind the connection pooler a single statement has no time limit; run {LIMIT_COMMAND}"
        return ""

    def time(self) -> Instant | None:
        """The database's clock; None where it has none of its own."""
        return database_time(self._engine)

    def facts(self) -> tuple[Fact, ...]:
        """What the database says about its version and its durability (INV-21).

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reading(self._engine) as connection:

            def ask(query: str) -> str:
                return str(connection.exec_driver_sql(query).scalar())

            if self.kind == "postgresql":
                commit = ask("SHOW synchronous_commit")
                fsync = ask("SHOW fsync")
                pages = ask("SHOW full_page_writes")
                replica = ask("SELECT pg_is_in_recovery()")
                pooler = _pooler(connection)
                return (
                    Fact("postgresql version", ask("SHOW server_version"), good=True),
                    Fact("synchronous_commit", commit, commit in _SAFE_COMMITS, "set synchronous_commit = on"),
                    Fact("fsync", fsync, fsync == "on", "set fsync = on in postgresql.conf and reload"),
                    Fact("full_page_writes", pages, pages == "on", "set full_page_writes = on and reload"),
                    Fact(
                        "replica", replica, replica == "False", "point AUTHSERVER_DATABASE_URL at the primary (INV-01)"
                    ),
                    *pooler,
                )
            mode, level = ask("PRAGMA journal_mode"), ask("PRAGMA synchronous")
            keys, sound = ask("PRAGMA foreign_keys"), ask("PRAGMA quick_check(1)")
        cost, wanted = journal_cost(), journal_mode()
        return (
            Fact("sqlite version", sqlite.sqlite_version, not cost, cost),
            Fact("journal_mode", mode, mode == wanted, "keep the file on a local disk: WAL needs shared memory"),
            Fact("synchronous", level, level == "2", "restart; the program sets FULL on every connection"),
            Fact("foreign_keys", keys, keys == "1", "restart; the program sets them on every connection"),
            Fact("quick_check", sound, sound == "ok", "restore the newest backup; see `flask db backup --help`"),
        )

    def backup(self, path: Path) -> int:
        """Copy a SQLite database while it is in use, whole and checked; the size in bytes.

        Raises:
            Conflict: there is a file at ``path`` already.
            Invalid: the database is not SQLite, or there is nothing to copy.
            Unavailable: the database cannot be reached.
        """
        source = self.file
        if source is None:
            url = self._engine.url.set(drivername="postgresql", password=None).render_as_string()
            msg = f"PostgreSQL is backed up by its own tool: pg_dump --format=custom --file={path} '{url}'"
            raise Invalid(msg)
        if not source.exists():
            msg = f"there is no database at {source}; `flask db upgrade` makes it"
            raise Unavailable(msg)
        if path.exists():
            msg = f"{path} exists already; give a name that is free"
            raise Conflict(msg)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        # Created first, with its mode, so that no other user can ever read it.
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            self._copy(fresh)
            _publish(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
        return path.stat().st_size

    def _copy(self, fresh: Path) -> None:
        with translate_errors(), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            target = sqlite.connect(str(fresh))
            try:
                driver.backup(target)
                # One file that can be carried away: no -wal beside it.
                target.execute("PRAGMA journal_mode=DELETE")
                (sound,) = target.execute("PRAGMA integrity_check(1)").fetchone()
            except sqlite.Error as error:
                msg = f"the copy could not be made: {error}"
                raise Unavailable(msg) from error
            finally:
                target.close()
        if sound != "ok":
            msg = f"the copy is not sound ({sound}); the database itself may be damaged"
            raise Unavailable(msg)


def _pooler(connection: Connection) -> tuple[Fact, ...]:
    if not is_pooled(connection):
        return ()
    endless = unlimited(connection)
    return (
        Fact("pooler", "yes: statements have no name, locks end with their transaction", good=True),
        Fact("limit of single statements", "none" if endless else "set", not endless, LIMIT_COMMAND),
    )


_SAFE_COMMITS = frozenset({"on", "remote_apply"})


def _publish(fresh: Path, path: Path) -> None:
    """Give the finished copy its name; durable, and never over another file."""
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        msg = f"{path} exists already; give a name that is free"
        raise Conflict(msg) from None
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
