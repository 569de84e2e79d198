"""Audit records as lines of an export, and back: JSON (one object a line) or CSV (RFC 4180, with a header).

Each line has all members of the record, so that an export is as good as the table for whoever verifies it. Both
directions handle one record at a time: an export of any length takes the memory of one part.
"""

import csv
import datetime as dt
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any, Final

from authserver.audit import Record, canonical
from authserver.ports.errors import Invalid
from authserver.rules.facts import Instant

FORMATS: Final = ("jsonl", "csv")
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "jsonl": "application/jsonl; charset=utf-8",
    "csv": "text/csv; charset=utf-8; header=present",
}
COLUMNS: Final = tuple(each.name for each in fields(Record))
MAX_LINE: Final = 1_000_000
"""Characters; the longest record that is read back. The longest that is written has a tenth of it."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet may take for a formula at the beginning of a cell; with an apostrophe before it, it is text."""


def iso(at: Instant) -> str:
    """An instant in UTC (RFC 3339)."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_line(record: Record) -> str:
    """A record as one line of JSON in ASCII, with its line end."""
    return json.dumps(document(record), separators=(",", ":"), ensure_ascii=True) + "\n"


def document(record: Record) -> dict[str, Any]:
    """A record as a JSON object: ``at`` as RFC 3339, ``detail`` as an object."""
    plain = dict(zip(COLUMNS, astuple(record), strict=True))
    return {**plain, "at": iso(record.at), "detail": json.loads(record.detail)}


def csv_line(record: Record) -> str:
    """A record as one line of CSV, with its line end; ``detail`` as JSON."""
    plain = dict(zip(COLUMNS, astuple(record), strict=True))
    return _csv_row([_as_text(value) for value in {**plain, "at": iso(record.at)}.values()])


def lines(records: Iterable[Record], form: str = "jsonl") -> Iterator[bytes]:
    """The lines of an export in one of ``FORMATS``, as the records come."""
    if form == "csv":
        yield _csv_row(COLUMNS).encode("ascii")
    for record in records:
        yield (json_line(record) if form == "jsonl" else csv_line(record)).encode("utf-8")


def read(export: Iterable[bytes]) -> Iterator[Record]:
    """The records of an export in either format, one at a time.

    Args:
        export: the lines, with their ends; a CSV export begins with its header.

    Raises:
        Invalid: a line is none; the text says which. What a record says is not judged.
    """
    decoded = (_decoded(line, number) for number, line in enumerate(export, 1))
    first = next(decoded, "")
    if first.startswith(COLUMNS[0] + ","):
        yield from _read_csv(first, decoded)
        return
    for number, text in enumerate(itertools.chain((first,), decoded), 1):
        if text.strip():
            yield _from_json(text, number)


def _read_csv(header: str, following: Iterable[str]) -> Iterator[Record]:
    rows = csv.reader(itertools.chain((header,), following), strict=True)
    try:
        columns = tuple(next(rows))
        for row in rows:
            yield _from_csv(columns, row, rows.line_num)
    except csv.Error:
        raise Invalid(f"line {rows.line_num} is no line of CSV") from None


def _decoded(line: bytes, number: int) -> str:
    if len(line) > MAX_LINE:
        raise Invalid(f"line {number} is longer than any audit record")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"line {number} is not UTF-8") from None


def _from_json(text: str, number: int) -> Record:
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not found.keys() >= set(COLUMNS):
            raise ValueError  # noqa: TRY301 - the one sentence below is for every fault
        return _record({**found, "detail": canonical(found["detail"])})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise Invalid(f"line {number} is no audit record; export it as JSON lines or CSV, unchanged") from None


def _from_csv(columns: tuple[str, ...], row: Sequence[str], number: int) -> Record:
    try:
        plain = dict(zip(columns, map(_unescaped, row), strict=True))
        return _record({**plain, "seq": int(plain["seq"])})
    except (ValueError, TypeError, KeyError, OverflowError):
        raise Invalid(f"line {number} is no audit record; export it as JSON lines or CSV, unchanged") from None


def _record(found: Mapping[str, Any]) -> Record:
    values = [found[name] for name in COLUMNS]
    at = dt.datetime.fromisoformat(values[1])
    if not isinstance(values[0], int) or not all(isinstance(each, str) for each in values[1:]) or at.tzinfo is None:
        raise ValueError
    return Record(values[0], int(at.timestamp()), *values[2:])


def _csv_row(values: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue()


def _as_text(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _unescaped(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
