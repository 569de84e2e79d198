"""The typed query arguments of a list: state is in the URL, so a link shows what its sender saw."""

from collections.abc import Container
from datetime import UTC, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

from flask import request

from authserver.console.frame.dates import zone
from authserver.rules.facts import Instant

_MAX_TEXT: Final = 255
_MAX_NUMBER: Final = 1_000_000


def text(name: str) -> str:
    """One word of the address, without blanks around it; empty when there is none."""
    return request.args.get(name, "").strip()[:_MAX_TEXT]


def one_of(name: str, allowed: Container[str], default: str = "") -> str:
    """One word of the address, if it is among those ``allowed``."""
    found = text(name)
    return found if found in allowed else default


def number(name: str, default: int = 1) -> int:
    """A whole number of the address; the default for anything else."""
    found = text(name)
    return min(int(found), _MAX_NUMBER) if found.isascii() and found.isdigit() else default


def day(name: str, *, behind: bool = False) -> Instant | None:
    """The instant a day begins at in the reader's zone, or, ``behind`` it, the next one; None for no such day."""
    try:
        found = datetime.strptime(text(name), "%Y-%m-%d").replace(tzinfo=UTC).date()
        begins = datetime.combine(found + timedelta(days=1 if behind else 0), time(), tzinfo=zone() or UTC)
        return int(begins.timestamp())
    except (ValueError, OverflowError):
        return None


def url_with(**changes: object) -> str:
    """The current URL with other query arguments; empty ones are dropped."""
    return path_with_query(request.script_root + request.path, **changes)


def path_with_query(path: str, **changes: object) -> str:
    """Another path with the current query arguments, for a download of what is shown."""
    args = {**request.args.to_dict(), **changes}
    query = urlencode({name: value for name, value in args.items() if value not in (None, "")})
    return path + (f"?{query}" if query else "")
