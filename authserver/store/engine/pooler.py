"""Behind a pooler that gives each transaction another connection, as PgBouncer does in transaction mode.

Session state is lost there: settings, prepared statements, advisory locks. So behind a
pooler statements have no name, time limits are set in each transaction, and locks end with their transaction.

The first connection of a process finds it out: a pooler refuses or drops the settings a connection starts with.
"""

from typing import Any, Final, Literal

from sqlalchemy import Connection

Mode = Literal["auto", "transaction"]

POOLED: Final = "pooled"
"""Key in ``Connection.info``: whether the connection leads to a pooler."""

_REFUSED: Final = "unsupported startup parameter"
MARK: Final = "authserver.direct"
"""A setting of ours that each connection starts with; one that has it not was opened by a pooler."""

_PROBE: Final = f"SELECT current_setting('{MARK}', true)"
LIMIT_COMMAND: Final = "ALTER ROLE CURRENT_USER SET statement_timeout = '5s'"
_RESET: Final = "SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'"
_UNLIMITED: Final = "0"


class Pooler:
    """Opens the connections of one engine, and knows from the first one on whether a pooler is between."""

    def __init__(self, mode: Mode, limits: dict[str, str]) -> None:
        """Take what the operator says, and the settings that every connection or transaction must have."""
        self.found: bool | None = True if mode == "transaction" else None
        self.set_local = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in limits.items())

    def connect(self, dialect: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Open a driver connection; the first one finds out what is at the other end."""
        if self.found:
            return self._connect_pooled(dialect, arguments, options)
        try:
            connection = dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError as error:
            if self.found is not None or _REFUSED not in str(error):
                raise
            self.found = True
            return self._connect_pooled(dialect, arguments, options)
        if self.found is None:
            self.found = not self._holds(connection)
            if self.found:
                connection.close()
                return self._connect_pooled(dialect, arguments, options)
        return connection

    @staticmethod
    def _holds(connection: Any) -> bool:
        """Whether the connection has the settings it was opened with."""
        connection.autocommit = True
        (mark,) = connection.execute(_PROBE).fetchone()
        connection.autocommit = False
        return bool(mark)

    @staticmethod
    def _connect_pooled(dialect: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        plain = {name: value for name, value in options.items() if name != "options"}
        connection = dialect.connect(*arguments, **plain)
        connection.prepare_threshold = None
        return connection


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler is between; nothing may outlast a transaction then."""
    return bool(connection.info.get(POOLED))


def unlimited(connection: Connection) -> bool:
    """Whether a statement outside a transaction, which has no time limit behind a pooler, may run without end."""
    return connection.exec_driver_sql(_RESET).scalar() == _UNLIMITED
