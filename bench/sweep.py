"""How fast ended sessions are deleted, in the rhythm of a server: a few seconds of work, then a pause."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from authserver.ports.general_settings import retention_seconds
from authserver.services.periodic_tasks import SWEEP_FOR_SECONDS, SWEEP_SECONDS
from bench import scale
from bench.authserver_under_test import AuthserverUnderTest
from bench.figures import Figure

_WANTED = 1000.0
"""New tokens per second that the sweep must keep up with."""


def measure(name: str, made: AuthserverUnderTest, rows: int, rounds: int) -> Iterator[Figure]:
    """Fill a database with ``rows`` sessions that are overdue, then sweep ``rounds`` times as a server does.

    Each round is the work of one process in ``SWEEP_SECONDS``; several processes share it on PostgreSQL.
    """
    sessions, now = made.store.sessions, int(time.time())
    keep = retention_seconds(made.store.accounts.general().session_retention_days)
    with _timed() as filling:
        scale.fill_overdue(made, rows, ended=now - keep)
    deleted, spent, looks = list[int](), list[float](), list[float]()
    for _ in range(rounds):
        with _timed() as look:
            sessions.backlog(now, keep)
        looks.append(look[0])
        used = time.process_time()
        deleted.append(sessions.sweep(now, keep, SWEEP_FOR_SECONDS))
        spent.append(1e6 * (time.process_time() - used) / max(1, deleted[-1]))
    left = sessions.backlog(now, keep)
    per_second = median(deleted) / SWEEP_SECONDS
    wanted = _WANTED, 10 * _WANTED
    yield Figure(f"{name}, seconds to fill {rows} rows", filling[0], 0, float("inf"), unit="s")
    yield Figure(f"{name}, rows swept by one process", per_second, *wanted, unit="per s")
    yield Figure(f"{name}, processor time of the sweeping process", median(spent), 0, float("inf"), unit="µs a row")
    yield Figure(f"{name}, look at rows and lag", 1000 * median(looks), 50, 5, least=False, unit="ms")
    yield Figure(f"{name}, rows left, as estimated", left.rows, 0, float("inf"), unit="rows")


@contextmanager
def _timed() -> Iterator[list[float]]:
    """How many seconds the block took, as the one item of a list."""
    took, began = [0.0], time.monotonic()
    yield took
    took[0] = time.monotonic() - began
