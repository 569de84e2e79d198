"""Whether the schema on disk is the one this program was written for, and what to do when it is not."""

from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from authserver.store.upkeep import Schema, Upkeep

MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"

_FIXES: Final = {
    "missing": "the database has no schema and this program needs {head}: run `flask db upgrade`",
    "older": "the schema is at {revision} and this program needs {head}: run `flask db upgrade`",
    "newer": "the schema is at {revision}, which this program, at {head}, does not know: start the newer program",
}


def schema_of(engine: Engine) -> Schema:
    """Where the schema stands.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return Upkeep(engine, MIGRATIONS).schema()


def schema_fault(engine: Engine) -> str | None:
    """One sentence with its fix, or None when the schema is right.

    Raises:
        Unavailable: the database cannot be reached.
    """
    found = schema_of(engine)
    text = _FIXES.get(found.state)
    return text.format(revision=found.revision, head=found.head) if text else None
