"""Prints answers: JSON for machines, tables and lines for people, one time format for both."""

import datetime as dt
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from authserver.rules.facts import Instant

HumanText = Sequence[RenderableType]

_PIPE_WIDTH = 10_000


def iso(at: Instant) -> str:
    """ISO 8601 in UTC, ending in Z."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(at: Instant | None) -> str | None:
    """The same for an instant or None."""
    return None if at is None else iso(at)


def document_text(document: object) -> str:
    """One JSON document in ASCII, safe on any terminal and pipe."""
    return json.dumps(document, indent=2)


def plain(text: str) -> str:
    """The text with control and unprintable characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)


def cell(value: object) -> Text:
    """One value for people."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(plain(", ".join(map(str, value))) or "-")
    return Text(plain(str(value)))


def table(columns: Sequence[str], rows: Iterable[Mapping[str, object]], *, empty: str) -> HumanText:
    """A table of documents, by their members; ``empty`` is printed when there are none."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column.upper().replace("_", " "), overflow="fold")
    for row in rows:
        grid.add_row(*(cell(row[column]) for column in columns))
    return [grid] if grid.row_count else [Text(empty)]


def fields(document: Mapping[str, object]) -> HumanText:
    """One document, one member per line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in document.items():
        grid.add_row(name.replace("_", " "), cell(value))
    return [grid]


def line(text: str) -> HumanText:
    """One sentence."""
    return [Text(plain(text))]


def show(human: HumanText) -> None:
    """Print for people; rich honours NO_COLOR, and lines are not wrapped into a pipe."""
    stream = sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    console = Console(file=stream, width=width, highlight=False, soft_wrap=True)
    for part in human:
        console.print(part)
