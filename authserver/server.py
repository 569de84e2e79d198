"""Runs the production server: granian, in one or several processes.

The starting process prepares the database and lets go of it; each serving process, a worker, opens its own. Faults an
operator can mend leave as one sentence: a worker that cannot start reports it in a file that the starting process
reads, and nothing is announced before a worker serves.
"""

import contextlib
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

_HEADER_BUFFER = 64 * 1024
_BACKLOG = 1024
_GRACE_SECONDS = 10
_RESTART_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_REPORT = "SERVER_START_REPORT"
"""Names the file in which a worker says that it serves, or why it cannot."""
_SERVES = "serves"


class CannotServe(Exception):
    """The server cannot start; the text says why and what to do."""


class Stoppable(Server):  # type: ignore[misc, valid-type]
    """granian's server, which signals may ask to stop more than once, and together.

    A terminal sends Ctrl+C to a whole group, and what runs in it sends it on. granian
    sets an event in the handler itself; a second signal that came meanwhile would wait
    for the event's lock on the very thread that holds it, and nothing would ever stop.
    """

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Ask the main loop to end, on a thread that holds nothing."""
        threading.Thread(target=super().signal_handler_interrupt, args=args, kwargs=kwargs, daemon=True).start()

    def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
        """Ask it to start the workers anew."""
        threading.Thread(target=super().signal_handler_reload, args=args, kwargs=kwargs, daemon=True).start()


def check_port(host: str, port: int) -> None:
    """Make sure that no process listens yet: granian's own sockets would silently share the port.

    Raises:
        CannotServe: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            msg = f"cannot listen on {host} port {port}: {error.strerror}; choose another one with AUTHSERVER_BIND"
            raise CannotServe(msg) from error


def run(target: str, *, host: str, port: int, workers: int, threads: int, announce: Callable[[], None]) -> None:
    """Serve ``target`` (``module:factory``) until a signal stops it.

    Args:
        target: the factory of the WSGI callable, called once in each process.
        host: address to listen on.
        port: port to listen on.
        workers: processes.
        threads: threads in each process.
        announce: called when a worker serves.

    Raises:
        CannotServe: the port is in use, or no worker can start.
    """
    check_port(host, port)
    with _shared_metrics(workers), _start_report() as report:
        server = Stoppable(
            target,
            address="127.0.0.1" if host == "localhost" else host,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=threads,
            backlog=_BACKLOG,
            http1_settings=HTTP1Settings(max_buffer_size=_HEADER_BUFFER, header_read_timeout=10_000),
            factory=True,
            log_access=False,
            log_level=LogLevels.warning,
            log_dictconfig=_log_config(),
            respawn_failed_workers=True,
            respawn_interval=_RESTART_SECONDS,
            workers_kill_timeout=_GRACE_SECONDS,
            websockets=False,
        )
        start = _StartReport(server, report, announce)
        server.main_loop_interrupt = start
        # granian's own lines about a worker that ended would come before the sentence that says why.
        server.on_startup(lambda: logging.getLogger("_granian").setLevel(logging.CRITICAL))
        try:
            with contextlib.suppress(KeyboardInterrupt):
                server.serve()
        except SystemExit:
            if not start.failure:
                raise
        if start.failure:
            raise CannotServe(start.failure)


def report_start(failure: str = "") -> bool:
    """Say in a worker that it serves, or why it cannot; False when nobody waits for that any more."""
    name = os.environ.get(_REPORT)
    if not name or not Path(name).exists():
        return False
    with Path(name).open("a", encoding="utf-8") as report:
        report.write(f"{failure or _SERVES}\n")
    return True


@contextlib.contextmanager
def _start_report() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix="authserver-start-")
    os.close(handle)
    os.environ[_REPORT] = name
    try:
        yield Path(name)
    finally:
        del os.environ[_REPORT]
        Path(name).unlink(missing_ok=True)


class _StartReport(threading.Event):
    """What granian's main loop waits for; until the first worker reports, it looks for that report meanwhile.

    On the main thread: with a thread beside it, a worker could be forked while that thread holds a lock.
    """

    def __init__(self, server: Stoppable, report: Path, announce: Callable[[], None]) -> None:
        super().__init__()
        self._server, self._report, self._announce = server, report, announce
        self._reported = False
        self.failure = ""

    def wait(self, timeout: float | None = None) -> bool:
        while not self._reported and not super().wait(_LOOK_SECONDS):
            self._read_report()
        # A worker that failed wakes the loop before its report was looked at.
        self._read_report()
        return super().wait(timeout)

    def _read_report(self) -> None:
        report = "" if self._reported else self._report.read_text(encoding="utf-8")
        if not report.endswith("\n"):
            return
        self._reported = True
        first = report.splitlines()[0]
        if first == _SERVES:
            self._report.unlink()
            logging.getLogger("_granian").setLevel(logging.WARNING)
            self._announce()
        else:
            self.failure = first
            self._server.interrupt_signal = True
            self.set()


def _log_config() -> dict[str, Any]:
    """Leave granian's lines to the JSON writer of the root logger, warnings only."""
    quiet = {"handlers": [], "level": "WARNING", "propagate": True}
    return {"handlers": {}, "formatters": {}, "loggers": {"_granian": quiet, "granian.access": quiet}}


@contextlib.contextmanager
def _shared_metrics(workers: int) -> Any:
    """Where several processes count, give them a folder to add up in."""
    name = "PROMETHEUS_MULTIPROC_DIR"
    if workers == 1 or os.environ.get(name):
        yield
        return
    folder = tempfile.mkdtemp(prefix="authserver-metrics-")
    os.environ[name] = folder
    try:
        yield
    finally:
        del os.environ[name]
        shutil.rmtree(folder, ignore_errors=True)
