"""The database's clock: the one that all nodes share."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Engine, cast, func, literal_column, select

from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading

_NOW = select(cast(func.floor(func.extract("epoch", func.clock_timestamp())), BigInteger))


def database_time(engine: Engine) -> Instant | None:
    """Seconds of UTC by PostgreSQL's clock; None on SQLite, where there is only this machine's.

    Raises:
        Unavailable: the database cannot be reached.
    """
    if engine.dialect.name != "postgresql":
        return None
    with reading(engine) as connection:
        return int(connection.execute(_NOW).scalar_one())


def milliseconds(dialect: str) -> ColumnElement[Any]:
    """The clock of the machine that the database is on, in milliseconds of UTC, as a column.

    For differences between two such readings only: everything that lives or ends does so by whole seconds.
    """
    if dialect == "postgresql":
        return cast(func.floor(func.extract("epoch", func.clock_timestamp()) * literal_column("1000")), BigInteger)
    days: Any = func.julianday(literal_column("'now'")) - literal_column("2440587.5")  # of the Unix epoch
    return cast(days * literal_column("86400000"), BigInteger)
