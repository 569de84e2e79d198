"""Run migrations: one process at a time, in transactions, with time limits.

PostgreSQL: a session advisory lock, taken before anything is read and held until
the connection, which nobody else uses, is closed; each step is a transaction.
Behind a pooler the lock is one of the transaction, so all steps are one.
SQLite: one BEGIN IMMEDIATE around everything, and patience. Whoever comes later waits and finds nothing to do.
"""

from collections.abc import Collection

from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import Connection, delete, insert, inspect

from authserver.store.engine.pooler import is_pooled
from authserver.store.tables import metadata, schema_window

LOCK = 0x61757468
"""An arbitrary but fixed number for PostgreSQL's session advisory lock."""

WAIT_SECONDS = 120
"""For another process that migrates, or for a table that is in use."""

STEP_SECONDS = 600


def run() -> None:
    """Take the lock, then migrate."""
    engine = current_app.extensions["migrate"].db.engine
    with engine.connect().execution_options(write=True) as connection:
        pooled = is_pooled(connection)
        connection.detach()  # its limits and its lock end with it
        if pooled:
            _wait_in_transaction(connection)
        elif engine.dialect.name == "postgresql":
            _wait_on_postgresql(connection)
        else:
            # Not by a statement: that would begin a transaction.
            connection.connection.dbapi_connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
        _refuse_what_is_newer(connection)
        if not pooled:
            connection.rollback()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transactional_ddl=True,
            # SQLite's lock is the transaction, so there is only one.
            on_version_apply=record_window,
            transaction_per_migration=engine.dialect.name == "postgresql" and not pooled,
        )
        with context.begin_transaction():
            context.run_migrations()
        if pooled:
            connection.commit()


def _wait_on_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = '{WAIT_SECONDS}s'")
    connection.exec_driver_sql(f"SET statement_timeout = '{STEP_SECONDS}s'")
    connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
    connection.commit()


def _wait_in_transaction(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STEP_SECONDS}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


def record_window(*, ctx: MigrationContext, heads: Collection[str], **_: object) -> None:
    """Write down, in the transaction of a step, how old a program may be to run on the schema behind it."""
    connection, scripts = ctx.connection, context.script
    if connection is None or not inspect(connection).has_table(schema_window.name):
        return
    connection.execute(delete(schema_window))
    for head in heads:
        applied = scripts.iterate_revisions(head, "base")
        oldest = max(getattr(script.module, "runs_from", script.revision) for script in applied)
        connection.execute(insert(schema_window).values(revision=head, runs_from=oldest))


def _refuse_what_is_newer(connection: Connection) -> None:
    scripts: ScriptDirectory = context.script
    known = {script.revision for script in scripts.walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            msg = (
                f"the schema is at {revision}, which this program, at {scripts.get_current_head()}, does not know: "
                "start the newer program, or go back with it first"
            )
            raise CommandError(msg)


run()
