"""Run migrations: one process at a time, each step in one transaction, with time limits."""

from alembic import context
from flask import current_app

from authserver.store.tables import metadata

LOCK = 0x61757468
"""An arbitrary but fixed number for PostgreSQL's session advisory lock."""


def run() -> None:
    """Take the lock, then migrate; whoever comes later waits and finds nothing to do."""
    engine = current_app.extensions["migrate"].db.engine
    postgresql = engine.dialect.name == "postgresql"
    with engine.connect().execution_options(write=True) as connection:
        if postgresql:
            connection.exec_driver_sql("SET lock_timeout = '60s'")
            connection.exec_driver_sql("SET statement_timeout = '10min'")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
            connection.commit()
        try:
            context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=postgresql)
            with context.begin_transaction():
                context.run_migrations()
        finally:
            if postgresql:
                connection.rollback()
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")
                connection.commit()


run()
