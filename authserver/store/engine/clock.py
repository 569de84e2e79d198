"""The database's clock: the one that all nodes share."""

from sqlalchemy import BigInteger, Engine, cast, func, select

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
