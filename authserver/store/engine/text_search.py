"""How a search box asks: a part of a text, whatever its letter case."""

from typing import Any

from sqlalchemy import ColumnElement, false, func, or_

from authserver.rules.names import storable


def contains(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column holds ``text``; ``%`` and ``_`` mean themselves."""
    if not storable(text):
        return false()
    found = [func.lower(column).contains(text.lower(), autoescape=True)]
    if not text.isascii():
        # A database lowers ASCII letters for sure, others as its locale has it: ask for the usual spellings as well.
        found += [
            column.contains(each, autoescape=True)
            for each in sorted({text, text.lower(), text.upper(), text.title(), text.capitalize()})
        ]
    return or_(*found)
