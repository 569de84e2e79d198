"""Starts one server in a process tree of its own, on chosen cores, and waits until it answers."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from bench import machine
from bench.load_generator import BadLoad

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60
_STOP_SECONDS = 15


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A server on a port of its own; its log goes into a file, as a service manager would have it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        log: Path,
        cores: Sequence[int],
        env: Mapping[str, str],
        program: str = sys.executable,
    ) -> None:
        self.name, self.port, self._log_path = name, port, log
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AUTHSERVER_")}
        with log.open("wb") as out, machine.only_on(*cores):
            self.process = subprocess.Popen(
                [program, *command],
                cwd=ROOT,
                env={**kept, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            self._ready()
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                msg = f"{self.name} ended while starting: {self.log()}"
                raise BadLoad(msg)
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0] < 500:
                    return
            time.sleep(0.05)
        msg = f"{self.name} does not answer: {self.log()}"
        raise BadLoad(msg)

    def ask(self, request: bytes) -> tuple[int, bytes, int]:
        """Send one raw request; status, body and the length of the whole answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
            line.sendall(request)
            answer = http.client.HTTPResponse(line)
            answer.begin()
            body = answer.read()
            head = sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
            return answer.status, body, head + len(body)

    def log(self) -> str:
        """The end of what it wrote."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")[-4000:]

    def busy_seconds(self) -> float:
        """Processor time of the whole tree."""
        return machine.busy_seconds(self.process.pid)

    def workers(self) -> list[int]:
        """The serving processes: the children that hold most memory are they, not Python's resource tracker."""
        children = machine.tree(self.process.pid)[1:]
        return [pid for pid in children if machine.resident_mb(pid) > 25]

    def stop(self) -> None:
        """End the whole tree and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
