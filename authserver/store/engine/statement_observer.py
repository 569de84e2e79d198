"""Lets somebody see each statement begin and end: those of the pool, and the prepared ones on held connections."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

from authserver.store.engine.prepared import ThreadConnections
from authserver.store.engine.sqlite_prepared import Rows

End = Callable[[BaseException | None], None]
Begin = Callable[[str, str], End | None]
"""Text of a statement, with no value in it, and the kind of database -> what is told its end, or None."""

_ENDS = "statement_ends"


def observe_statements(engine: Engine, held: ThreadConnections, begin: Begin) -> None:
    """Have ``begin`` called before each statement; for an engine and connections that nobody uses yet."""
    system = engine.dialect.name
    run = held.run

    def observed(sql: str, arguments: Sequence[Any]) -> tuple[Rows, int]:
        end = begin(sql, system)
        if end is None:
            return run(sql, arguments)
        try:
            result = run(sql, arguments)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return result

    held.run = observed  # type: ignore[method-assign] # so that whoever is not observed pays nothing

    @event.listens_for(engine, "before_cursor_execute")
    def _before(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        connection.info.setdefault(_ENDS, []).append(begin(statement, system))

    @event.listens_for(engine, "after_cursor_execute")
    def _after(connection: Connection, *_rest: Any) -> None:
        _end(connection, None)

    @event.listens_for(engine, "handle_error")
    def _failed(failure: Any) -> None:
        if failure.connection is not None and failure.cursor is not None:
            _end(failure.connection, failure.original_exception)


def _end(connection: Connection, error: BaseException | None) -> None:
    ends = connection.info.get(_ENDS)
    end = ends.pop() if ends else None
    if end is not None:
        end(error)
