"""Whether the schema on disk is the one this program was written for, and what to do when it is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.engine.url import URL

from authserver.store.engine.connections import reading
from authserver.store.tables import schema_window

MIGRATIONS: Final = Path(__file__).resolve().parents[3] / "migrations"

_FIXES: Final = {
    "missing": "the database has no schema and this program needs {head}: run `flask db upgrade`",
    "older": "the schema is at {revision} and this program needs {head}: run `flask db upgrade`",
    "newer": "the schema is at {revision}, which this program, at {head}, does not know: start the newer program",
}


@dataclass(frozen=True, slots=True)
class Schema:
    """Where the schema stands; ``state`` is missing, older, current, ahead or newer.

    Ahead: a newer program made it, and says that this one runs on it (INV-24).
    """

    state: str
    revision: str | None
    head: str


def file_of(url: URL) -> Path | None:
    """The SQLite file, or None."""
    name = url.database
    return Path(name) if url.drivername.startswith("sqlite") and name and name != ":memory:" else None


def revision_of(engine: Engine) -> str | None:
    """The revision on disk; None where there is no schema. Looking never makes a database.

    Raises:
        Unavailable: the database cannot be reached.
    """
    file = file_of(engine.url)
    if file is not None and not file.exists():
        return None
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def schema_of(engine: Engine) -> Schema:
    """Where the schema stands.

    Migrations are numbered, so where it is current nobody need read them: Alembic
    stays out of the memory of a serving process.

    Raises:
        Unavailable: the database cannot be reached.
    """
    steps = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    head, revision = steps[-1], revision_of(engine)
    if revision is None:
        return Schema("missing", None, head)
    if revision == head:
        return Schema("current", revision, head)
    if revision in steps:
        return Schema("older", revision, head)
    oldest = _runs_from(engine, revision)
    return Schema("ahead" if oldest is not None and oldest <= head else "newer", revision, head)


def _runs_from(engine: Engine, revision: str) -> str | None:
    """The oldest head whose program runs on the schema at ``revision``, as its migrations declare; None without one."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(schema_window.name):
            return None
        query = select(schema_window.c.runs_from).where(schema_window.c.revision == revision)
        return connection.execute(query).scalar()


def schema_fault(engine: Engine) -> str | None:
    """One sentence with its fix, or None when the schema is right.

    Raises:
        Unavailable: the database cannot be reached.
    """
    found = schema_of(engine)
    text = _FIXES.get(found.state)
    return text.format(revision=found.revision, head=found.head) if text else None
