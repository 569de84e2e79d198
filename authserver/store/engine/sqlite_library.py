"""Which SQLite library is used, and the journal mode that is safe with it.

The wheel of ``pysqlite3`` carries a fixed SQLite; where the platform has no such wheel, the interpreter's own
``sqlite3`` is used. Versions before ``WAL_FLOOR`` can corrupt a database in WAL mode when a checkpoint resets the log,
so with them the journal mode is TRUNCATE: a rollback journal, which that fault cannot touch. The cost: a reader and
the writer wait for each other, and each commit syncs twice (docs/adr/0009).
"""

from importlib import import_module
from typing import Any


def _import() -> Any:
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:  # no wheel for this platform
        return import_module("sqlite3")


sqlite: Any = _import()
"""The DB-API module."""

WAL_FLOOR = (3, 51, 3)
"""The first SQLite without the WAL-reset corruption."""

FLOOR = (3, 38, 0)
"""The first SQLite with every statement this program uses."""


def journal_mode(version: tuple[int, ...] | None = None) -> str:
    """``wal``, or ``truncate`` where WAL is not safe; ``version`` is the library's own when not given."""
    return "wal" if (version or sqlite.sqlite_version_info) >= WAL_FLOOR else "truncate"


def version_fault(version: tuple[int, ...]) -> str | None:
    """Say why a SQLite version cannot be used at all, or None."""
    if version >= FLOOR:
        return None
    shown, floor = (".".join(map(str, each)) for each in (version, FLOOR))
    return f"SQLite {shown} is too old, {floor} is needed; install a newer Python, or use PostgreSQL"


def journal_cost(version: tuple[int, ...] | None = None) -> str:
    """The cost of the journal mode, for ``doctor`` and the log; empty with WAL."""
    if journal_mode(version) == "wal":
        return ""
    shown = ".".join(map(str, version or sqlite.sqlite_version_info))
    return (
        f"SQLite {shown} can corrupt a WAL database, so a rollback journal is used: readers and the writer wait for "
        f"each other; {'.'.join(map(str, WAL_FLOOR))} or newer, as in the wheel of pysqlite3, is faster"
    )
