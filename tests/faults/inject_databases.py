"""Faults of databases, for ``make faults``: restarts, silent and cut networks, standbys that lag, damaged files.

Not part of ``make test``: the campaign names this file. What a test measures it tells as the property ``recovery``.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from keys.master import MasterKey
from tests.faults.inject_nodes import answers, back, looked_at, minted, revoked
from tests.faults.test_history import seed
from tests.store.test_failover import SETTINGS, Clients, url_of
from tests.support import servers
from tests.support.deadlines import wait_until
from tests.support.postgres_cluster import Cluster
from tests.support.processes import ROOT
from tests.support.tcp_proxy import TcpProxy

SHORT = int(os.environ.get("CRASH_RUNS", "6")) < 100


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_F_10_nodes_come_back_after_a_restart_of_postgresql(record_property, how):
    with Cluster({"max_connections": 60}) as cluster:
        url, key = cluster.url(), MasterKey.fresh()
        made, api = seed(url, key)
        with servers.start(url, key) as one, servers.start(url, key) as two:
            before = minted(one, made[0])
            for _ in range(1 if SHORT else 10):
                with Clients((one, two), made) as clients:
                    wait_until("load", lambda clients=clients: len(clients.revoked) > 20)
                    cluster.stop(how)
                    assert looked_at(one, before, api) == 503
                    cluster.start()
                    begun = time.monotonic()
                    back(
                        record_property,
                        lambda clients=clients, begun=begun: min(clients.served) > begun,
                        within=10,
                        what="both nodes",
                    )
                for node in (one, two):
                    assert looked_at(node, before, api) is True
                    assert {looked_at(node, token, api) for token in clients.revoked} == {False}


@pytest.mark.parametrize("how", ["swallowed", "cut"])
def test_F_13_F_26_a_node_without_its_database_issues_nothing_and_believes_nothing_old(record_property, how):
    with Cluster({"max_connections": 60}) as cluster, TcpProxy(cluster.port) as proxy:
        url, key = cluster.url(), MasterKey.fresh()
        made, api = seed(url, key)
        away = url.replace(f":{cluster.port}/", f":{proxy.port}/")
        with servers.start(url, key) as near, servers.start(away, key) as far:
            tokens = [minted(near, made[0]) for _ in range(10)]
            assert all(looked_at(far, token, api) is True for token in tokens)
            if how == "swallowed":
                proxy.swallow()
                began = time.monotonic()
                assert answers(far, tokens[0], api) in {503, None}
                assert time.monotonic() - began < 20
            else:
                proxy.swallow()
                proxy.cut()
                assert answers(far, tokens[0], api) in {503, None}
            assert far.get("/livez")[0] == 200
            assert {revoked(near, token, made[0]) for token in tokens[:5]} == {200}
            assert looked_at(near, tokens[9], api) is True
            proxy.pass_on()
            back(record_property, lambda: answers(far, tokens[9], api) is True, within=20, what="the far node")
            assert [looked_at(far, token, api) for token in tokens[:5]] == [False] * 5


def test_F_15_a_standby_that_lagged_ends_every_token(record_property):
    """The loss is admitted: what was revoked and lost must not be alive again for more than the check takes."""
    with Cluster(SETTINGS) as primary, Cluster(SETTINGS, primary=primary) as standby:
        url, key = url_of(primary, standby), MasterKey.fresh()
        made, api = seed(url, key)
        with servers.start(url, key) as node:
            old = minted(node, made[0])
            lost = minted(node, made[0])
            assert looked_at(node, lost, api) is True
            time.sleep(2)  # the standby has both
            with standby.admin() as admin:  # it hears no more
                admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
                admin.execute("SELECT pg_reload_conf()")
                wait_until(
                    "the stream to end",
                    lambda: admin.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() == (0,),
                )
            assert revoked(node, lost, made[0]) == 200
            time.sleep(2.5)  # the node has written down how new the database was
            primary.process.kill()
            primary.process.wait(30)
            standby.promote()
            began, alive = time.monotonic(), []
            end = began + 30
            while time.monotonic() < end:
                answer = answers(node, lost, api)
                alive += [answer] if answer is True else []
                if answer is False and answers(node, old, api) is False:
                    break
                time.sleep(0.005)
            took = time.monotonic() - began
            record_property("recovery", f"{took:.2f}")
            assert took < 20
            assert not alive, f"a token that was revoked was active {len(alive)} times"
            assert looked_at(node, minted(node, made[0]), api) is True
            assert "database_is_older" in node.log()


DAMAGES = {
    "a byte of the log": lambda files, dice: flipped(files["-wal"], dice),
    "the log cut short": lambda files, dice: os.truncate(files["-wal"], dice.randrange(files["-wal"].stat().st_size)),
    "the log gone": lambda files, dice: files["-wal"].unlink(),
    "garbage for a log": lambda files, dice: files["-wal"].write_bytes(dice.randbytes(50_000)),
    "the index of the log gone": lambda files, dice: files["-shm"].unlink(missing_ok=True),
    "garbage for an index": lambda files, dice: files["-shm"].write_bytes(dice.randbytes(32_768)),
    "the file cut short": lambda files, dice: os.truncate(files[""], dice.randrange(files[""].stat().st_size)),
}


def flipped(path, dice):
    with path.open("r+b") as file:
        file.seek(dice.randrange(path.stat().st_size))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ (1 << dice.randrange(8))]))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_F_07_a_damaged_file_is_refused_or_whole_or_known_to_be_old(tmp_path, damage):
    """As after ``kill -9``: the files are copied while a server has them open, and one of them is damaged."""
    url, key, state = f"sqlite:///{tmp_path}/live.db", MasterKey.fresh(), tmp_path / "state"
    made, api = seed(url, key)
    with servers.start(url, key, env={"AUTHSERVER_STATE_DIRECTORY": str(state)}) as node:
        tokens = [minted(node, made[0]) for _ in range(10)]
        assert looked_at(node, tokens[9], api) is True
        time.sleep(1)
        for token in tokens[:5]:
            assert revoked(node, token, made[0]) == 200
        time.sleep(3)  # what is on record outside is as new as the last change
        copies = tmp_path / "copies"
        copies.mkdir()
        for suffix in ("", "-wal", "-shm"):
            source = tmp_path / f"live.db{suffix}"
            if source.exists():
                shutil.copy(source, copies)
    for number in range(3 if SHORT else 40):
        dice = random.Random(number)
        folder = tmp_path / f"damaged{number}"
        shutil.copytree(copies, folder)
        shutil.copytree(state, folder / "state")
        files = {suffix: folder / f"live.db{suffix}" for suffix in ("", "-wal", "-shm")}
        damage(files, dice)
        judged = verdicts(f"sqlite:///{folder}/live.db", key, folder / "state", tokens, api)
        # Refused with a sentence, or no token that was revoked is alive.
        assert isinstance(judged, str) or True not in judged[:5], (number, judged)
        shutil.rmtree(folder)


def verdicts(url, key, state, tokens, api):
    """What a server that starts on these files says of each token, or why it does not start."""
    node = servers.Server(url, key, env={"AUTHSERVER_STATE_DIRECTORY": str(state)})
    try:
        wait_until("a verdict", lambda: node.process.poll() is not None or servers.is_ready(node.url))
        if node.process.poll() is None:
            return [answers(node, token, api) for token in tokens]
        log = node.log()
    finally:
        node.close()
    assert "Traceback" not in log
    return log


def test_F_29_a_migration_that_is_killed_is_taken_up_again(database_url):
    key = MasterKey.fresh()
    env = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSERVER_")}
    env |= {"AUTHSERVER_DATABASE_URL": database_url, "AUTHSERVER_MASTER_KEY": key}
    command = [sys.executable, "-m", "flask", "db", "upgrade"]
    dice = random.Random(29)
    for _ in range(5 if SHORT else 50):
        child = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(1 + dice.random() * 1.5)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(30)
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    made, api = seed(database_url, key)
    with servers.start(database_url, key) as node:
        assert looked_at(node, minted(node, made[0]), api) is True
