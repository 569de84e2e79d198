"""The core does no I/O: it is written as steps that say which request to send, so that threads and asyncio share it.

A step is a generator. It yields a ``Call`` and gets an ``Answer`` back, or yields a ``Wait`` for what another
caller is fetching. No lock is held while a step is outside.
"""

import threading
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resource_server.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the server; ``wait`` is how many seconds it may hold the answer back by agreement (long poll)."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; names of headers are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Another caller is fetching it already."""

    future: "Future[Any]"


T = TypeVar("T")
Steps = Generator[Call | Wait, Any, T]


class Abandoned(Exception):
    """The caller that others waited for was cancelled."""


class Flights:
    """Single flight: of several callers that need the same thing at once, one fetches it and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Future[Any]] = {}

    def flying(self, key: Hashable) -> bool:
        """Whether somebody is fetching it now."""
        return key in self._flying

    def run(self, key: Hashable, work: Callable[[], Steps[T]]) -> Steps[T]:
        """Fetch it, or wait for who does; an error of the one is an error of all."""
        while True:
            with self._lock:
                flight = self._flying.get(key)
                if flight is None:
                    mine = self._flying[key] = Future()
            if flight is None:
                return (yield from self._lead(key, mine, work))
            try:
                result: T = yield Wait(flight)
            except Abandoned:
                continue
            return result

    def _lead(self, key: Hashable, mine: "Future[Any]", work: Callable[[], Steps[T]]) -> Steps[T]:
        try:
            result = yield from work()
        except Exception as error:
            self._land(key)
            mine.set_exception(error)
            raise
        except BaseException:
            self._land(key)
            mine.set_exception(Abandoned())
            raise
        self._land(key)
        mine.set_result(result)
        return result

    def _land(self, key: Hashable) -> None:
        with self._lock:
            self._flying.pop(key, None)


def failed(answer: Answer, what: str) -> Unavailable:
    """An answer that is none: what it means for the caller."""
    wait = answer.headers.get("retry-after", "")
    seconds = min(int(wait), 300) if wait.isascii() and wait.isdigit() else 1
    hint = ""
    if answer.status == 401:  # noqa: PLR2004 - RFC 6749 §5.2
        hint = "; the resource server's client id or secret is wrong, or it is disabled"
    return Unavailable(
        f"http_{answer.status}", f"{what} was answered with status {answer.status}{hint}.", retry_after=max(seconds, 1)
    )
