"""One page of a list, and how large it may be."""

from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_PAGE = 200
"""Rows of a page at most; a larger size is cut down to it."""


MAX_COUNTED = 500
"""Live tokens of many credentials are counted up to this: so many stands for so many or more."""


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list; ``number`` counts from 1, ``total`` is of all pages."""

    rows: tuple[Row, ...]
    total: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are; an empty list has one."""
        return max(1, -(-self.total // self.size))
