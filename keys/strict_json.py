"""Reads JSON so that every parser would read the same: each member once, no NaN, no Infinity, UTF-8 only."""

import json
from collections.abc import Callable
from typing import Any


class DuplicateMember(ValueError):
    """An object has a member twice; parsers differ in which one counts (RFC 8259 §4)."""


def loads(
    data: bytes,
    *,
    parse_float: Callable[[str], float] | None = None,
    parse_int: Callable[[str], int] | None = None,
) -> Any:
    """Parse ``data``; ``parse_float`` and ``parse_int`` as in ``json.loads``.

    Raises:
        DuplicateMember: an object has a member twice.
        ValueError: it is not JSON in UTF-8, or a number is refused.
        RecursionError: it is nested too deep.
    """
    return json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_no_constant,
        parse_float=parse_float,
        parse_int=parse_int,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member stands twice"
        raise DuplicateMember(msg)
    return members


def _no_constant(name: str) -> Any:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
"""For values within a longer text, by ``raw_decode``; as strict as ``loads``."""
