"""Measures cells in turn, round by round: A B C, A B C. What the machine does meanwhile, it does to all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException

from bench.cases import WARMING, Cell
from bench.load_generator import BadLoad, Burst, Generator, InPython
from bench.requests import fault
from bench.server_process import Running

_WARM_SECONDS = 0.7
_STALLED_SECONDS = 5.0
_ENOUGH = 0.9
"""Of the bytes of a right answer; one that says ``{"active":false}`` is far shorter."""


@dataclass(slots=True)
class Measured:
    """All bursts of one cell, and the processor time of the server's tree in each, in µs per answer."""

    name: str
    bursts: list[Burst] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """How cells are measured."""

    generator: Generator
    rounds: int
    seconds: float
    connections: int


def run(cells: Sequence[Cell], servers: Mapping[str, Running], course: Course) -> dict[str, Measured]:
    """Measure all cells.

    Raises:
        BadLoad: an answer is wrong.
    """
    measured = {cell.name: Measured(cell.name) for cell in cells}
    for cell in cells:
        _warm(cell, servers[cell.server], course)
    for number in range(course.rounds):
        for cell in cells:
            _measure(cell, servers[cell.server], number, course, measured)
    return measured


def _warm(cell: Cell, server: Running, course: Course) -> None:
    if not cell.below:
        InPython().burst(server.port, cell.requests(WARMING), connections=course.connections, seconds=_WARM_SECONDS)


def _first(server: Running, request: bytes) -> tuple[int, bytes, int]:
    """One answer. Where the disk stalled under the load before, 503 is the right one for a while."""
    end = time.monotonic() + _STALLED_SECONDS
    while True:
        answer = server.ask(request)
        if answer[0] != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > end:
            return answer
        time.sleep(0.2)


def _measure(cell: Cell, server: Running, number: int, course: Course, measured: Mapping[str, Measured]) -> None:
    requests = cell.requests(number)
    try:
        status, body, length = _first(server, requests[0])
    except (OSError, HTTPException) as error:
        msg = f"{cell.name}: {error}; the server says {server.process.poll()}: {server.log()}"
        raise BadLoad(msg) from error
    wrong = fault(cell.kind, status, body)
    if wrong:
        msg = f"{cell.name}: {wrong}; the server says {server.log()}"
        raise BadLoad(msg)
    pause = course.connections / (measured[cell.below].bursts[-1].rate / 2) if cell.below else 0.0
    before = server.busy_seconds()
    burst = course.generator.burst(
        server.port, requests, connections=course.connections, seconds=course.seconds, pause=pause
    )
    mine = measured[cell.name]
    mine.cpu.append(1e6 * (server.busy_seconds() - before) / burst.answers)
    mine.bursts.append(burst)
    mine.wrong += burst.refused + burst.broken
    if burst.bytes < _ENOUGH * length * burst.answers:
        msg = f"{cell.name}: the answers under load are shorter than a right one"
        raise BadLoad(msg)
