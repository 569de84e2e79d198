"""One statement for many rows, run inside a transaction that is open already.

The rows go to the driver as they are: SQLAlchemy would look at each value of each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Engine, Executable, Table, bindparam, cast, column, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

_ROWS = "rows"


def insert_for(dialect: str) -> Any:
    """The dialect's own insert, which knows ``ON CONFLICT``."""
    return postgresql_insert if dialect == "postgresql" else sqlite_insert


def greatest(dialect: str) -> Any:
    """The scalar maximum, which the two databases call by different names."""
    return func.greatest if dialect == "postgresql" else func.max


class BatchStatement:
    """A statement that is run once for each row."""

    def __init__(self, engine: Engine, statement: Executable) -> None:
        dialect: Any = engine.dialect
        if dialect.name == "postgresql":
            dialect = type(dialect)(paramstyle="format")
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        self._sql = str(compiled)
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self.order: Sequence[str] = tuple(compiled.positiontup)

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run it for all rows; each holds the statement's parameters by name."""
        self.run_in_order(connection, [tuple(map({**self._fixed, **row}.__getitem__, self.order)) for row in rows])

    def run_in_order(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """The same for rows that hold the values of ``order`` and nothing else."""
        if rows:
            connection.exec_driver_sql(self._sql, list(rows) if len(rows) > 1 else rows[0])


class BatchUpsert:
    """Inserts rows, or merges them into those that are there.

    PostgreSQL gets all of them as one JSON text and unfolds it itself, in their order, which
    costs both sides a fraction of a statement for each row. With SQLite nothing is on the way that could be saved.
    """

    def __init__(
        self,
        engine: Engine,
        table: Table,
        names: Sequence[str],
        merged: Callable[[Any], Mapping[str, Any]],
        only_if: Callable[[Any], Any] | None = None,
    ) -> None:
        """Prepare the statement.

        Args:
            engine: tells the dialect.
            table: where the rows go.
            names: the columns each row has a value for, in its order.
            merged: given the columns of the row that comes, the new values of the one that is there.
            only_if: given the same, whether the one that is there changes at all; always when not told.
        """
        self._names = tuple(map(str, names))  # SQLAlchemy has a kind of its own, which is no key of JSON
        self._at_once = engine.dialect.name == "postgresql"
        insert: Any
        if self._at_once:
            typed = (column(name, table.c[name].type) for name in names)
            sent = func.json_to_recordset(cast(bindparam(_ROWS), JSON)).table_valued(*typed)
            insert = postgresql_insert(table).from_select(
                self._names, select(sent.render_derived(with_types=True)), include_defaults=False
            )
        else:
            insert = sqlite_insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in names})
        fresh = insert.excluded
        upsert = insert.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_=merged(fresh),
            where=None if only_if is None else only_if(fresh),
        )
        self._statement = BatchStatement(engine, upsert)

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it for all rows, no two of which are one row of the table."""
        if self._statement.order == self._names:
            self._statement.run_in_order(connection, rows)
            return
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        if self._at_once and named:
            named = [{_ROWS: orjson.dumps(named).decode()}]
        self._statement.run(connection, named)
