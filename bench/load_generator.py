"""The load: keep-alive connections, each sending the next prepared request when its answer is whole.

``wrk`` is used where it is installed; it costs a few microseconds a request.
The generator in Python costs about forty, so with it fast servers look slower
than they are: every report says which one was used.
"""

import json
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

_SCRIPT = Path(__file__).with_name("load_generator.lua")
_GRACE_SECONDS = 20


class BadLoad(Exception):
    """The load could not be made, or what came back was wrong."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst of load saw; latencies in milliseconds."""

    answers: int
    bytes: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class Generator(Protocol):
    """Makes load."""

    name: str

    def burst(
        self, port: int, requests: Sequence[bytes], *, connections: int, seconds: float, pause: float = 0.0
    ) -> Burst:
        """Send ``requests`` in turn, over and over.

        Args:
            port: of the server, on loopback.
            requests: whole HTTP/1.1 requests.
            connections: kept open.
            seconds: how long.
            pause: each connection waits for 0 to twice as many seconds before each request.
        """
        ...


class Wrk:
    """https://github.com/wg/wrk, one thread, with ``load.lua``."""

    name = "wrk"

    def burst(
        self, port: int, requests: Sequence[bytes], *, connections: int, seconds: float, pause: float = 0.0
    ) -> Burst:
        """See ``Generator``; ``wrk`` knows whole seconds only."""
        with tempfile.NamedTemporaryFile(prefix="bench-requests-") as file:
            for request in requests:
                file.write(b"%d\n%s" % (len(request), request))
            file.flush()
            command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s"]
            command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--", file.name, str(round(2000 * pause))]
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_SECONDS
            )
        line = ended.stdout.strip().rpartition("\n")[2]
        if ended.returncode or not line.startswith("{"):
            msg = f"wrk failed: {ended.stdout}{ended.stderr}"
            raise BadLoad(msg)
        return Burst(**json.loads(line))


class InPython:
    """One thread and a selector; ``SHARE`` of the time asked for is enough where only the answers matter."""

    name = "python"
    SHARE = 1.0

    def burst(
        self, port: int, requests: Sequence[bytes], *, connections: int, seconds: float, pause: float = 0.0
    ) -> Burst:
        """See ``Generator``."""
        run = _Run(port, requests, pause)
        try:
            return run.go(connections, seconds * self.SHARE)
        finally:
            run.close()


def generator(name: str = "") -> Generator:
    """``wrk`` or ``python`` by name; without one the best that is there.

    Raises:
        BadLoad: it is not installed.
    """
    if not name:
        return Wrk() if shutil.which("wrk") else InPython()
    if name == "wrk" and not shutil.which("wrk"):
        msg = "wrk is not installed (Debian: apt-get install wrk); --load python needs nothing"
        raise BadLoad(msg)
    return Wrk() if name == "wrk" else InPython()


class _Line:
    """One connection; ``due`` is when it sends next, ``sent`` when it sent last, 0 when it waits for no answer."""

    __slots__ = ("due", "got", "sent", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got, self.due, self.sent = b"", 0.0, 0.0


class _Run:
    def __init__(self, port: int, requests: Sequence[bytes], pause: float) -> None:
        self._port, self._requests, self._pause = port, requests, pause
        self._at, self._bytes, self._refused, self._broken = 0, 0, 0, 0
        self._latencies: list[float] = []
        self._dice = Random(1)
        self._selector = selectors.DefaultSelector()
        self._lines: list[_Line] = []

    def go(self, connections: int, seconds: float) -> Burst:
        began = time.perf_counter()
        end = began + seconds
        for _ in range(connections):
            self._open()
        while (now := time.perf_counter()) < end or (not self._latencies and now < end + _GRACE_SECONDS):
            for line in self._lines:
                if not line.sent and line.due <= now:
                    self._send(line, now)
            # With pauses someone may be due at any moment.
            for key, _ in self._selector.select(0.0005 if self._pause else 0.1):
                self._receive(key.data)
        took, latencies = time.perf_counter() - began, sorted(self._latencies)
        if not latencies:
            msg = "not one answer came"
            raise BadLoad(msg)
        p50, p99 = (1000 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))
        return Burst(len(latencies), self._bytes, took, p50, p99, self._refused, self._broken)

    def close(self) -> None:
        for line in self._lines:
            line.socket.close()
        self._selector.close()

    def _open(self) -> None:
        line = _Line(self._port)
        self._lines.append(line)
        self._selector.register(line.socket, selectors.EVENT_READ, line)

    def _send(self, line: _Line, now: float) -> None:
        line.sent = now
        line.socket.sendall(self._requests[self._at])
        self._at = (self._at + 1) % len(self._requests)

    def _receive(self, line: _Line) -> None:
        try:
            more = line.socket.recv(65536)
        except OSError:
            more = b""
        if not more:
            self._broken += 1
            self._selector.unregister(line.socket)
            line.socket.close()
            self._lines.remove(line)
            self._open()
            return
        line.got += more
        size = whole(line.got)
        if size is None or len(line.got) < size:
            return
        now = time.perf_counter()
        self._latencies.append(now - line.sent)
        self._bytes += size
        self._refused += line.got[9:10] not in {b"2", b"3"}
        line.got, line.sent = b"", 0.0
        line.due = now + 2 * self._pause * self._dice.random() if self._pause else now
        if not self._pause:
            self._send(line, now)


def whole(got: bytes) -> int | None:
    """The length of an answer with Content-Length, once its head is there."""
    head, found, _ = got.partition(b"\r\n\r\n")
    if not found:
        return None
    for field in head.split(b"\r\n")[1:]:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + 4 + int(value)
    return len(head) + 4
