"""What all request and response documents are made of: strict models, instants as RFC 3339, pages of lists."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from authserver.rules.facts import Instant

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_SCHEMA: Final[dict[str, Any]] = {"type": "string", "format": "date-time", "examples": ["2027-01-15T08:00:00Z"]}
MAX_ROWS: Final = 200
"""Items of a page at most."""


class Model(BaseModel):
    """A document of the API: unknown members are refused, and nothing is converted from another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(BaseModel):
    """The query of a request: text that is converted to the type of each parameter; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def iso(at: Instant) -> str:
    """An instant in UTC (RFC 3339)."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(value: object) -> Instant:
    """A whole second from RFC 3339; a part of a second is cut off.

    Raises:
        ValueError: it is no instant, or one before 1970.
    """
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        msg = "an instant is written as in RFC 3339, such as 2027-01-15T08:00:00Z"
        raise ValueError(msg)
    try:
        at = int(dt.datetime.fromisoformat(value.upper()).timestamp())
    except (ValueError, OverflowError):
        msg = "there is no such day or time"
        raise ValueError(msg) from None
    if at < 0:
        msg = "an instant lies after 1970"
        raise ValueError(msg)
    return at


def refuse_boolean(value: object) -> object:
    """The same value; false is no 0, though Python takes one for the other.

    Raises:
        ValueError: it is true or false.
    """
    if isinstance(value, bool):
        msg = "a number is needed"
        raise ValueError(msg)  # noqa: TRY004 - pydantic tells a ValueError to the caller
    return value


Overlap = Annotated[Literal[0, 3600, 86400, 604800], BeforeValidator(refuse_boolean)]
"""Seconds that an old secret may work on: ``rules.secret_format.OVERLAPS``."""

InstantIn = Annotated[Instant, BeforeValidator(parse_instant), WithJsonSchema(_SCHEMA)]
"""An instant that a caller sends."""

InstantOut = Annotated[Instant, PlainSerializer(iso, return_type=str), WithJsonSchema(_SCHEMA, mode="serialization")]
"""An instant that the server answers."""

Item = TypeVar("Item", bound=Model)


class Items(Model, Generic[Item]):
    """A part of a list. ``next_cursor`` is sent as ``cursor`` to get the part behind it; null at the end."""

    items: Sequence[Item]
    next_cursor: str | None = None


class Paged(Query):
    """Which part of a list."""

    cursor: Annotated[str, Field(max_length=1024, description="`next_cursor` of the part before.")] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS, description="How many items at most.")] = 50


class Empty(Model):
    """The body of a request that says nothing beyond its address; it may be left out."""
