"""Faults of nodes, for ``make faults``: paused, without descriptors, a blocked log, a failing disk, too many clients.

Not part of ``make test``: the campaign names this file. What a test measures it tells as the property ``recovery``.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from keys.master import MasterKey
from tests.faults.test_history import seed
from tests.support import servers
from tests.support.deadlines import wait_until

GRANT = {"grant_type": "client_credentials"}


def minted(node, made):
    status, body = node.post("/oauth/token", GRANT, (made["client"], made["secret"]))
    assert status == 200, body
    return body["access_token"]


def looked_at(node, token, api):
    """``active``, or the status of an answer that is no verdict."""
    status, body = node.post("/oauth/introspect", {"token": token}, api)
    return body["active"] if status == 200 else status


def revoked(node, token, made):
    status, _ = node.post("/oauth/revoke", {"token": token}, (made["client"], made["secret"]))
    return status


def back(record_property, holds, *, within, what):
    """Measure how long it takes until ``holds()``."""
    began = time.monotonic()
    wait_until(what, holds, seconds=within * 4)
    took = time.monotonic() - began
    record_property("recovery", f"{took:.2f}")
    assert took < within


def processes_of(node):
    """The ids of all processes of a node's group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == node.process.pid:
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("seconds", [1, 12])
def test_F_27_a_paused_node_looks_again_before_it_answers(database_url, record_property, seconds):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key) as one, servers.start(database_url, key) as two:
        tokens = [minted(one, made[0]) for _ in range(20)]
        assert all(looked_at(two, token, api) is True for token in tokens)
        os.killpg(two.process.pid, signal.SIGSTOP)
        try:
            assert {revoked(one, token, made[0]) for token in tokens[:10]} == {200}
            # Asked while it stands still, and answered later.
            early = []
            asker = threading.Thread(target=lambda: early.append(answers(two, tokens[0], api)))
            asker.start()
            time.sleep(seconds)
        finally:
            os.killpg(two.process.pid, signal.SIGCONT)
        back(record_property, lambda: looked_at(two, tokens[15], api) is True, within=10, what="the paused node")
        asker.join(30)
        assert early[0] in {False, 503, None}, early
        assert [looked_at(two, token, api) for token in tokens] == [False] * 10 + [True] * 10


def test_F_31_without_free_descriptors_it_refuses_and_comes_back(database_url, record_property):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key) as node:
        token = minted(node, made[0])
        pids = processes_of(node)
        most = max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most + 8, most + 8))
        idle = []
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    idle.append(socket.create_connection(("127.0.0.1", node.port), timeout=2))
            time.sleep(1)
        finally:
            for each in idle:
                each.close()
        back(record_property, lambda: answers(node, token, api) is True, within=10, what="free descriptors")
        assert revoked(node, token, made[0]) == 200
        assert looked_at(node, token, api) is False
        assert node.process.poll() is None


def answers(node, token, api):
    """Like ``looked_at``; None where nobody answers."""
    try:
        return looked_at(node, token, api)
    except OSError:
        return None


BLOCKED = """
import os, sys
reading, writing = os.pipe()
os.set_inheritable(reading, True)
os.dup2(writing, 1), os.dup2(writing, 2)
os.execv(sys.executable, [sys.executable, "app.py"])
"""


def test_F_32_a_log_that_nobody_reads_holds_up_no_token(database_url, record_property):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key, program=("-c", BLOCKED)) as node:
        token = minted(node, made[0])
        slowest = 0.0
        for number in range(800):  # a pipe holds the lines of about 300 requests
            began = time.monotonic()
            assert looked_at(node, token, api) is True, number
            slowest = max(slowest, time.monotonic() - began)
        assert revoked(node, token, made[0]) == 200
        assert looked_at(node, token, api) is False
        assert node.get("/livez")[0] == node.get("/readyz")[0] == 200
        record_property("recovery", f"{slowest:.2f}")
        assert slowest < 5


def test_F_05_a_disk_that_fails_to_write_refuses_changes_and_comes_back(tmp_path, record_property):
    if not shutil.which("strace"):
        pytest.skip("NOT RUN: strace is not installed")
    url, key = f"sqlite:///{tmp_path}/auth.db", MasterKey.fresh()
    made, api = seed(url, key)
    with servers.start(url, key) as node:
        tokens = [minted(node, made[0]) for _ in range(6)]
        assert revoked(node, tokens[0], made[0]) == 200
        pids = [word for pid in processes_of(node) for word in ("-p", str(pid))]
        command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
        tracer = subprocess.Popen(
            [*command, "-e", "inject=fsync,fdatasync:error=EIO", *pids], stderr=subprocess.PIPE, text=True
        )
        try:
            time.sleep(2)
            if tracer.poll() is not None:
                pytest.skip(f"NOT RUN: strace cannot attach here ({tracer.stderr.read().strip()[:100]})")
            assert revoked(node, tokens[1], made[0]) == 503
            assert looked_at(node, tokens[0], api) is False
            wait_until("readiness to say so", lambda: node.get("/readyz")[0] == 503, seconds=30)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
            tracer.stderr.close()
        back(record_property, lambda: revoked(node, tokens[2], made[0]) == 200, within=10, what="writes")
        back(record_property, lambda: node.get("/readyz")[0] == 200, within=10, what="readiness")
        node.kill9()
    with servers.start(url, key) as again:
        assert [looked_at(again, tokens[number], api) for number in (0, 2, 3)] == [False, False, True]


def test_F_19_ten_times_the_clients_are_served_or_refused_and_it_stays_alive(database_url, record_property):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key, env={"AUTHSERVER_THREADS": "4"}) as node:
        token, seen, stop = minted(node, made[0]), [], threading.Event()

        def ask():
            while not stop.is_set():
                began = time.monotonic()
                seen.append((answers(node, token, api), time.monotonic() - began))

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        alive = []
        end = time.monotonic() + 5
        while time.monotonic() < end:
            alive.append(node.get("/livez")[0])
            time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join(30)
        back(record_property, lambda: answers(node, token, api) is True, within=5, what="the crowd to be gone")
        assert set(alive) == {200}
        assert {answer for answer, _ in seen} <= {True, 503}
        assert sum(answer is True for answer, _ in seen) > 100
        assert max(took for _, took in seen) < 10
