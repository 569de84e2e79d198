"""Charts as plain values: columns over time, stacked by what they count, and bars of classes; templates draw them.

Each chart is drawn in units of its own box, ``WIDTH`` by ``HEIGHT``, which grows and shrinks with the page; the same
numbers stand in a table beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from authserver.rules.facts import Instant, Span

WIDTH: Final = 320
HEIGHT: Final = 130
_LEFT, _TOP, _BOTTOM = 34, 10, 110
_GAP: Final = 0.25
_TICKS: Final = 4
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of what is counted: its label in the numbers, in words, and its look (a class of the style sheet)."""

    key: str
    text: str
    look: str


@dataclass(frozen=True, slots=True)
class Part:
    """One rectangle of a column."""

    look: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A text below the columns, and where."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns over time; ``table`` has a row for each column with a number, newest first."""

    series: tuple[Series, ...]
    parts: tuple[Part, ...]
    ticks: tuple[Tick, ...]
    most: int
    total: int
    table: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A class with its number; ``share`` of the largest, from 0 to 100."""

    text: str
    number: int
    share: float


def columns(
    numbers: Mapping[Instant, Mapping[str, int]],
    series: Sequence[Series],
    slots: Sequence[Instant],
    text: Callable[[Instant], str],
) -> Columns:
    """Stack the numbers of each slot in the order of ``series``; labels of none of them count as the last one's."""
    rows = [_by_series(numbers.get(slot, {}), series) for slot in slots]
    most = max((sum(row) for row in rows), default=0)
    wide = (WIDTH - _LEFT) / max(len(slots), 1)
    parts, ticks = [], []
    for place, (slot, row) in enumerate(zip(slots, rows, strict=True)):
        x, y = _LEFT + wide * place, float(_BOTTOM)
        for each, number in zip(series, row, strict=True):
            if number:
                height = number * (_BOTTOM - _TOP) / most
                y -= height
                parts.append(
                    Part(each.look, round(x, 1), round(y, 1), round(wide * (1 - _GAP), 1), round(max(height, 0.5), 1))
                )
        if place % (len(slots) // _TICKS or 1) == 0 and x < WIDTH - 2 * wide:
            ticks.append(Tick(round(x, 1), text(slot)))
    table = [(text(slot), tuple(row)) for slot, row in zip(slots, rows, strict=True) if sum(row)]
    return Columns(tuple(series), tuple(parts), tuple(ticks), most, sum(map(sum, rows)), tuple(reversed(table)))


def bars(numbers: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
    """Bars in the order given, each as long as its share of the largest."""
    most = max((number for _, number in numbers), default=0)
    return tuple(Bar(text, number, round(100 * number / most, 1) if most else 0.0) for text, number in numbers)


def slots_until(now: Instant, step: Span, count: int) -> tuple[Instant, ...]:
    """The beginnings of the last ``count`` whole steps of UTC, the present one included, oldest first."""
    last = now - now % step
    return tuple(last - step * back for back in range(count - 1, -1, -1))


def _by_series(found: Mapping[str, int], series: Sequence[Series]) -> list[int]:
    row = [found.get(each.key, 0) for each in series]
    known = {each.key for each in series}
    row[-1] += sum(number for label, number in found.items() if label not in known)
    return row
