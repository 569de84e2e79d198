"""The core does no I/O: it is written as generators that yield requests, so that threads and asyncio share it.

``Steps`` is such a generator. It yields a ``Call`` and is sent an ``Answer``, or yields a ``Wait`` for a result that
another caller is fetching. No lock is held while it is suspended.
"""

import threading
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resource_server.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the server; ``wait`` is for how many seconds the server may delay the answer (long poll)."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the server; names of headers are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Waits for a request that another caller has in flight."""

    future: "Future[Any]"


T = TypeVar("T")
Steps = Generator[Call | Wait, Any, T]


class Abandoned(Exception):
    """The caller that others waited for was cancelled."""


class SingleFlight:
    """Single flight: of several callers that need the same result at once, one fetches it and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def in_flight(self, key: Hashable) -> bool:
        """Whether a caller is fetching it now."""
        return key in self._futures

    def run(self, key: Hashable, work: Callable[[], Steps[T]]) -> Steps[T]:
        """Fetch it, or wait for the caller that does; its error is raised for all."""
        while True:
            with self._lock:
                future = self._futures.get(key)
                if future is None:
                    own_future = self._futures[key] = Future()
            if future is None:
                return (yield from self._run_leader(key, own_future, work))
            try:
                result: T = yield Wait(future)
            except Abandoned:
                continue
            return result

    def _run_leader(self, key: Hashable, future: "Future[Any]", work: Callable[[], Steps[T]]) -> Steps[T]:
        try:
            result = yield from work()
        except Exception as error:
            self._remove(key)
            future.set_exception(error)
            raise
        except BaseException:
            self._remove(key)
            future.set_exception(Abandoned())
            raise
        self._remove(key)
        future.set_result(result)
        return result

    def _remove(self, key: Hashable) -> None:
        with self._lock:
            self._futures.pop(key, None)


def failed(answer: Answer, request_name: str) -> Unavailable:
    """The error for a response with an unexpected status."""
    wait = answer.headers.get("retry-after", "")
    seconds = min(int(wait), 300) if wait.isascii() and wait.isdigit() else 1
    hint = ""
    if answer.status == 401:  # noqa: PLR2004 - RFC 6749 §5.2
        hint = "; the resource server's client id or secret is wrong, or it is disabled"
    return Unavailable(
        f"http_{answer.status}",
        f"{request_name} was answered with status {answer.status}{hint}.",
        retry_after=max(seconds, 1),
    )
