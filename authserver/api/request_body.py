"""Reads the JSON object of a request: one object, each member once, not too deep, nothing but Unicode."""

from typing import Any, Final

from flask import request

from authserver.api.problems import Problem
from keys import strict_json

_DEEPEST: Final = 16


def json_object() -> dict[str, Any]:
    """The object in the body.

    Raises:
        Problem: it is no JSON, no object, has a member twice, or is nested too deep.
    """
    if request.mimetype != "application/json":
        raise Problem("unsupported_media_type", "Send Content-Type: application/json.")
    raw = request.get_data(cache=True)
    try:
        found = strict_json.loads(raw)
    except strict_json.DuplicateMember:
        raise Problem("invalid_request", "A member of the body comes twice.") from None
    except (ValueError, RecursionError):
        raise Problem("invalid_request", "The body is no JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise Problem("invalid_request", "The body is a JSON object.")
    _check(found, _DEEPEST)
    return found


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise Problem("invalid_request", "The body is nested too deep.")
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" or char == "\0" for char in value):
            raise Problem("invalid_request", "A text holds what is no Unicode character, or NUL.")
    elif isinstance(value, dict):
        for name, each in value.items():
            _check(name, depth)
            _check(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth - 1)
