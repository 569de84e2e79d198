"""Cursors: opaque texts that say where the next part of a list begins. They hold no secret and prove nothing."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final, TypeVar

from authserver.api.problems import Problem
from authserver.api.schemas import Query
from authserver.rules.names import storable

_MAX_TEXT: Final = 255
_MAX_NUMBER: Final = 2**62
Row = TypeVar("Row")


def encode(query: Query, *place: str | int) -> str:
    """A cursor for the part behind ``place`` of what a query finds."""
    text = json.dumps([_filters(query), *place], separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")


def decode(query: Query, cursor: str, *kinds: type[str | int]) -> tuple[str | int, ...] | None:
    """The place a cursor names; None for the beginning.

    Raises:
        Problem: it is no cursor, or that of another query.
    """
    if not cursor:
        return None
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != len(kinds) + 1 or found[0] != _filters(query):
        raise Problem("invalid_request", "The cursor is none of ours for this query; begin without one.")
    place = found[1:]
    if not all(_fits(value, kind) for value, kind in zip(place, kinds, strict=True)):
        raise Problem("invalid_request", "The cursor is none of ours; begin without one.")
    return tuple(place)


def part(
    rows: Sequence[Row], query: Query, cursor: str, limit: int, names: Sequence[str]
) -> tuple[list[Row], str | None]:
    """A part of a short list that is ordered by ``names``, and the cursor of the next one."""
    place = decode(query, cursor, str)
    begin = next((number for number, name in enumerate(names) if place is None or name > str(place[0])), len(rows))
    end = begin + limit
    return list(rows[begin:end]), encode(query, names[end - 1]) if end < len(rows) else None


def _filters(query: Query) -> str:
    """The filters of a query as a short text: a cursor belongs to them."""
    filters = query.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_defaults=True)
    return json.dumps(filters, sort_keys=True, separators=(",", ":"))


def _fits(value: object, kind: type[str | int]) -> bool:
    if kind is str:
        return isinstance(value, str) and len(value) <= _MAX_TEXT and storable(value)
    return isinstance(value, int) and not isinstance(value, bool) and -_MAX_NUMBER < value < _MAX_NUMBER
