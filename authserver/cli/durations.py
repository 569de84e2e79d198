"""Spans and instants as they are typed: ``90d``, ``12h``, ``2027-01-31``, ``2027-01-31T12:00:00Z``."""

import datetime as dt
import re

import click

from authserver.rules.facts import Instant, Span
from authserver.rules.secret_format import OVERLAPS

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_SPAN = re.compile(r"([0-9]{1,6})([mhdwy])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY = dt.timedelta(hours=23, minutes=59, seconds=59)


class SpanType(click.ParamType[Span]):
    """A length of time."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """Read a number and a unit."""
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{str(value)!r} is no length of time; write for example 90d, 12h, 2w or 1y.", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class InstantType(click.ParamType[Instant]):
    """A point in time; a date means the last second of that day in UTC."""

    name = "instant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        """Read ISO 8601 with its zone, or a date."""
        text = str(value)
        instant = _parsed(text)
        if instant is None:
            self.fail(
                f"{text!r} is no instant; write a date such as 2027-01-31 (its last second in UTC counts) "
                "or an instant with its zone such as 2027-01-31T12:00:00Z.",
                param,
                ctx,
            )
        return instant


def _parsed(text: str) -> Instant | None:
    try:
        parsed = dt.datetime.fromisoformat(text)
        if _DATE.fullmatch(text):
            parsed = parsed.replace(tzinfo=dt.UTC) + _DAY
        return None if parsed.tzinfo is None else int(parsed.timestamp())
    except (ValueError, OverflowError):
        return None


class OverlapType(click.ParamType[Span]):
    """The overlap of two secrets: one of ``OVERLAPS``."""

    name = "0|1h|24h|7d"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """Read one of ``OVERLAPS``."""
        text = str(value)
        span = 0 if text == "0" else SPAN.convert(text, param, ctx)
        if span not in OVERLAPS:
            self.fail(f"{text!r} is not offered; an overlap is 0, 1h, 24h or 7d.", param, ctx)
        return span


SPAN, INSTANT, OVERLAP = SpanType(), InstantType(), OverlapType()


def expiry(now: Instant, span: Span | None, at: Instant | None) -> Instant | None:
    """The instant that ``--expires-in`` or ``--expires-at`` means; None when neither was given.

    Raises:
        UsageError: both were given.
    """
    if span is not None and at is not None:
        msg = "Give --expires-in or --expires-at, not both."
        raise click.UsageError(msg)
    return now + span if span is not None else at
