"""One statement for many rows, run inside a transaction that is open already.

The rows go to the driver as they are: SQLAlchemy would look at each value of each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Engine, Executable, Table, bindparam, cast, column, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

_ROWS = "rows"
_NEW = "new_"


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


class _BatchOfRows:
    """A statement for many rows of the same names.

    PostgreSQL gets all of them as one JSON text and unfolds it itself, in their order, which
    costs both sides a fraction of a statement for each row. With SQLite nothing is on the way that could be saved.
    """

    def __init__(self, engine: Engine, names: Sequence[str], statement: Executable) -> None:
        self._names = tuple(map(str, names))  # SQLAlchemy has a kind of its own, which is no key of JSON
        self._as_json = engine.dialect.name == "postgresql"
        self._statement = BatchStatement(engine, statement)
        self._reorder = None if self._as_json else _reordered(self._names, self._statement.order)

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it for all rows, no two of which are one row of the table."""
        if self._reorder is not None:
            self._statement.run_in_order(connection, list(map(self._reorder, rows)))
        elif rows:
            named = [dict(zip(self._names, row, strict=True)) for row in rows]
            self._statement.run(connection, [{_ROWS: orjson.dumps(named).decode()}])


def _reordered(names: Sequence[str], order: Sequence[str]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Turn a row of ``names`` into the parameters of a statement."""
    if len(order) < 2 or not set(order) <= set(names):  # noqa: PLR2004 - itemgetter makes no tuple of one
        msg = f"a batch of {names} cannot fill {order}"
        raise ValueError(msg)
    return itemgetter(*map(names.index, order))


def _rows_from_json(table: Table, names: Sequence[str]) -> Any:
    """The rows of a batch as a table of PostgreSQL, unfolded from one JSON text."""
    typed = (column(name, table.c[name].type) for name in names)
    rows = func.json_to_recordset(cast(bindparam(_ROWS), JSON)).table_valued(*typed)
    return rows.render_derived(with_types=True)


class BatchUpsert(_BatchOfRows):
    """Inserts rows, or merges them into those that are there."""

    def __init__(
        self,
        engine: Engine,
        table: Table,
        names: Sequence[str],
        merged_values: Callable[[Any], Mapping[str, Any]],
        only_if: Callable[[Any], Any] | None = None,
    ) -> None:
        """Prepare the statement.

        Args:
            engine: tells the dialect.
            table: where the rows go.
            names: the columns each row has a value for, in its order.
            merged_values: given the columns of the row that comes, the new values of the one that is there.
            only_if: given the same, whether the one that is there changes at all; always when not given.
        """
        insert: Any
        if engine.dialect.name == "postgresql":
            insert = postgresql_insert(table).from_select(
                list(names), select(_rows_from_json(table, names)), include_defaults=False
            )
        else:
            insert = sqlite_insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in names})
        fresh = insert.excluded
        upsert = insert.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_=merged_values(fresh),
            where=None if only_if is None else only_if(fresh),
        )
        super().__init__(engine, names, upsert)


class BatchUpdate(_BatchOfRows):
    """Changes rows that are there; a row that is not there is passed over."""

    def __init__(
        self,
        engine: Engine,
        table: Table,
        names: Sequence[str],
        changes: Callable[[Any], Mapping[str, Any]],
        only_if: Callable[[Any], Any],
    ) -> None:
        """Prepare the statement.

        Args:
            engine: tells the dialect.
            table: which rows.
            names: the primary key, and the columns each row of the batch has a value for, in its order.
            changes: given the columns of the row that comes, the new values of the one that is there.
            only_if: given the same, whether the one that is there changes at all.
        """
        fresh: Any
        if engine.dialect.name == "postgresql":
            fresh = _rows_from_json(table, names).c
        else:
            # SQLAlchemy keeps the columns' own names for the values of SET.
            fresh = SimpleNamespace(**{name: bindparam(f"{_NEW}{name}", type_=table.c[name].type) for name in names})
            names = [f"{_NEW}{name}" for name in names]
        keys = [each == getattr(fresh, each.name) for each in table.primary_key]
        super().__init__(engine, names, update(table).where(*keys, only_if(fresh)).values(changes(fresh)))
