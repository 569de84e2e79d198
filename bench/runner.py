"""Measures the cases in turn, round by round (A B C, A B C), so that other load on the machine affects all alike."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException

from bench.cases import WARMUP_ROUND, Case
from bench.load_generator import BadLoad, Burst, Generator, InPython
from bench.requests import fault
from bench.server_process import Running

_WARM_SECONDS = 0.7
_MAX_STALL_SECONDS = 5.0
_MIN_BYTES_SHARE = 0.9
"""Of the bytes of a right answer; one that says ``{"active":false}`` is far shorter."""


@dataclass(slots=True)
class Measured:
    """All bursts of one case, and the processor time of the server's tree in each, in µs per answer."""

    name: str
    bursts: list[Burst] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How cases are measured."""

    generator: Generator
    rounds: int
    seconds: float
    connections: int


def run(cases_to_run: Sequence[Case], servers: Mapping[str, Running], run_settings: RunSettings) -> dict[str, Measured]:
    """Measure all cases.

    Raises:
        BadLoad: an answer is wrong.
    """
    measured = {case.name: Measured(case.name) for case in cases_to_run}
    for case in cases_to_run:
        _warm(case, servers[case.server], run_settings)
    for number in range(run_settings.rounds):
        for case in cases_to_run:
            _measure(case, servers[case.server], number, run_settings, measured)
    return measured


def _warm(case: Case, server: Running, run_settings: RunSettings) -> None:
    if not case.below:
        InPython().burst(
            server.port, case.requests(WARMUP_ROUND), connections=run_settings.connections, seconds=_WARM_SECONDS
        )


def _first(server: Running, request: bytes) -> tuple[int, bytes, int]:
    """One answer. Where the disk stalled under the load before, 503 is the right one for a while."""
    end = time.monotonic() + _MAX_STALL_SECONDS
    while True:
        answer = server.ask(request)
        if answer[0] != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > end:
            return answer
        time.sleep(0.2)


def _measure(
    case: Case, server: Running, number: int, run_settings: RunSettings, measured: Mapping[str, Measured]
) -> None:
    requests = case.requests(number)
    try:
        status, body, length = _first(server, requests[0])
    except (OSError, HTTPException) as error:
        msg = f"{case.name}: {error}; the server says {server.process.poll()}: {server.log()}"
        raise BadLoad(msg) from error
    wrong = fault(case.kind, status, body)
    if wrong:
        msg = f"{case.name}: {wrong}; the server says {server.log()}"
        raise BadLoad(msg)
    if case.once:
        requests = requests[1:]
    pause = run_settings.connections / (measured[case.below].bursts[-1].rate / 2) if case.below else 0.0
    before = server.busy_seconds()
    burst = run_settings.generator.burst(
        server.port, requests, connections=run_settings.connections, seconds=run_settings.seconds, pause=pause
    )
    if not burst.answers:
        msg = f"{case.name}: not one answer came; the load generator may need more seconds to read so many requests"
        raise BadLoad(msg)
    measurement = measured[case.name]
    measurement.cpu.append(1e6 * (server.busy_seconds() - before) / burst.answers)
    measurement.bursts.append(burst)
    refused = 0 if case.kind == "refused" else burst.refused
    measurement.wrong += refused + burst.broken
    if burst.bytes < _MIN_BYTES_SHARE * length * burst.answers:
        msg = f"{case.name}: the answers under load are shorter than a right one"
        raise BadLoad(msg)
