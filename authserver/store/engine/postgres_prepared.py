"""A held connection to PostgreSQL whose statements are run by libpq itself.

psycopg opens the connection and reads the answers; the way in between, which costs
it more than libpq and the network together, is left out (psycopg.pq).
"""

from collections.abc import Sequence
from typing import Any

from psycopg import DataError, OperationalError, errors
from psycopg.abc import Transformer as Reader
from psycopg.adapt import Transformer
from psycopg.pq import DiagnosticField, ExecStatus

from authserver.store.engine.sqlite_prepared import PreparedConnection, Rows

_ENDED_BY_SERVER = ("08", "57P")


class PostgresPreparedConnection(PreparedConnection):
    """On PostgreSQL; each statement is prepared when it is first run, and behind a pooler each time, without a name."""

    def __init__(self, connection: Any, *, pooled: bool = False) -> None:
        super().__init__(connection, pooled=pooled)
        connection.autocommit = True
        self._libpq = connection.pgconn
        self._known: dict[str, tuple[bytes, Reader]] = {}

    def run(self, sql: str, arguments: Sequence[Any]) -> tuple[Rows, int]:
        """One statement, durable on return; the thread sleeps without the interpreter's lock meanwhile."""
        with self._lock:
            name, reader = self._known.get(sql) or self._prepare(sql)
            values = _all_sent(arguments)
            run = self._libpq.exec_params if self._pooled else self._libpq.exec_prepared
            result = run(name, values)
            if result.status == ExecStatus.TUPLES_OK:
                reader.set_pgresult(result)
                rows: Rows = reader.load_rows(0, result.ntuples, tuple)
                return rows, result.ntuples
            _check(result)
            return (), result.command_tuples or 0

    def _prepare(self, sql: str) -> tuple[bytes, Reader]:
        """The name of a statement, or behind a pooler its text; and what reads its rows."""
        name = sql.encode()
        if not self._pooled:
            name = b"authserver_%d" % len(self._known)
            _check(self._libpq.prepare(name, sql.encode()))
        self._known[sql] = made = name, Transformer(self._connection)
        return made

    def is_broken_by(self, error: BaseException) -> bool:
        """Whether the server is gone, or ended this connection."""
        state = getattr(error, "sqlstate", None) or ""
        return bool(self._connection.broken) or state.startswith(_ENDED_BY_SERVER)


def _all_sent(arguments: Sequence[str | int | None]) -> Sequence[bytes | None]:
    """Values as PostgreSQL reads them in text form."""
    try:
        texts = list(map(str.encode, arguments))  # type: ignore[arg-type] # in C: the hot paths send nothing but texts
    except TypeError:
        return [_sent(each) for each in arguments]
    if b"\0" in b"".join(texts):
        raise DataError(_NUL)
    return texts


_NUL = "a text for PostgreSQL cannot hold a NUL"  # libpq would end it there, in silence


def _sent(value: str | int | None) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise DataError(_NUL)
        return value.encode()
    return b"%d" % value


def _check(result: Any) -> None:
    if result.status == ExecStatus.COMMAND_OK:
        return
    state = result.error_field(DiagnosticField.SQLSTATE)
    kind = errors.lookup(state.decode()) if state else OperationalError
    raise kind(result.error_message.decode("utf-8", "replace"))
