"""F-04: a SQLite file on a small tmpfs that fills up under load, and has room again."""

import contextlib
import json
import subprocess
import time

import pytest

from authserver.instrumentation import UnrecordedUsage
from authserver.ports.errors import Unavailable
from authserver.store.engine.failures import kind_of
from keys.master import MasterKey
from tests.faults.test_history import seed
from tests.support import servers
from tests.support.deadlines import wait_until

SIZE = "4m"


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT RUN: a tmpfs cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def ask(node, made):
    return node.post("/oauth/token", {"grant_type": "client_credentials"}, (made["client"], made["secret"]))


def events(node, name):
    lines = [json.loads(line) for line in node.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def test_F_04_a_full_disk_is_told_as_such_and_the_node_comes_back_by_itself(small_disk, record_property):
    url, key = f"sqlite:///{small_disk}/auth.db", MasterKey.fresh()
    made, api = seed(url, key)
    with servers.start(url, key, env={"AUTHSERVER_LOG_FORMAT": "json"}) as node:
        status, body = ask(node, made[0])
        token = body["access_token"]
        assert node.post("/oauth/introspect", {"token": token}, api)[1]["active"]
        fill(small_disk)
        issued = []

        def refused():
            status, body = ask(node, made[0])
            if status == 200:
                issued.append(body["access_token"])
            return status == 503 and body["error"] == "temporarily_unavailable"

        wait_until("tokens to be refused", refused, seconds=15)
        assert (status, node.get("/readyz")[0]) == (200, 503)
        assert json.loads(node.get("/readyz")[1])["failing"] == ["usage"]
        assert node.get("/livez")[0] == 200
        looked = node.post("/oauth/introspect", {"token": token}, api)
        assert looked[0] == 503, "active without its use, or inactive, would both be wrong"
        assert node.post("/oauth/revoke", {"token": token}, (made[0]["client"], made[0]["secret"]))[0] == 503
        told = events(node, "usage_cannot_be_recorded")
        assert [line["reason"].endswith("the disk is full") for line in told] == [True], told
        assert 'oauth_usage_write_failures_total{reason="disk_full"}' in node.get("/metrics")[1].decode()
        (small_disk / "filler").unlink()
        freed = time.monotonic()
        wait_until("the node to serve again", lambda: node.get("/readyz")[0] == 200, seconds=10)
        took = time.monotonic() - freed
        record_property("recovery", f"{took:.2f}")
        assert took < 3
        assert node.post("/oauth/introspect", {"token": token}, api)[1]["active"]
        assert ask(node, made[0])[0] == 200
        (again,) = events(node, "usage_is_recorded_again")
        assert again["seconds"] >= 1
        # What was issued in the meantime was recorded in the end.
        assert all(node.post("/oauth/introspect", {"token": each}, api)[1]["active"] for each in issued)


def test_the_reason_is_logged_at_once_and_then_once_a_minute_and_counted_each_time(capsys):
    at, counted = [100.0], []
    tell = UnrecordedUsage(counted.append, lambda: at[0])
    for second in range(0, 121, 10):
        at[0] = 100.0 + second
        tell("the database cannot be reached now: the disk is full")
    tell("")
    output = capsys.readouterr()
    lines = (output.out + output.err).splitlines()
    assert sum("usage_cannot_be_recorded" in line for line in lines) == 3
    assert sum("usage_is_recorded_again" in line for line in lines) == 1
    assert counted == ["disk_full"] * 13


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("the disk of the server is full", "disk_full"),
        ("the database file is read-only", "read_only"),
        ("the server is a read-only standby, or set to read only", "read_only"),
        ("the disk fails", "disk_fault"),
        ("the database file is locked by another process", "busy"),
        ("the schema has no column x", "schema"),
        ("the connection was refused", "unreachable"),
        ("", "unreachable"),
    ],
)
def test_kinds_are_a_closed_set(reason, kind):
    assert kind_of(reason) == kind


def test_a_node_that_cannot_record_uses_is_not_ready_on_any_database(world):
    """Whatever the reason is: here the table that batches are claimed in is gone."""

    def rename(old, new):
        with world.store.engine.connect().execution_options(write=True) as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
            connection.commit()

    def ready():
        answer = world.http.get("/readyz")
        return answer.status_code, answer.json.get("failing")

    assert ready()[0] == 200
    rename("usage_writers", "elsewhere")
    try:
        world.access_token()
        with pytest.raises(Unavailable):
            world.store.usage.flush()
        world.store.usage._sending.since -= 10  # it has waited for longer than uses may
        assert ready() == (503, ["usage"])
        assert world.http.get("/livez").status_code == 200
    finally:
        rename("elsewhere", "usage_writers")
    world.store.usage.flush()
    assert ready()[0] == 200
    assert world.token().status_code == 200
