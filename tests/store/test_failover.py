"""F-14: the primary of a pair made by streaming replication dies; all nodes go on, and nothing acknowledged is lost."""

import threading
import time

import pytest

from keys.master import MasterKey
from tests.faults.test_history import seed
from tests.support import servers
from tests.support.deadlines import wait_until
from tests.support.postgres_cluster import PASSWORD, Cluster

SETTINGS = {"wal_level": "replica", "max_wal_senders": 4, "max_connections": 60, "hot_standby": "on"}


@pytest.fixture
def pair():
    with Cluster(SETTINGS) as primary, Cluster(SETTINGS, primary=primary) as standby:
        with primary.admin() as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            admin.execute("SELECT pg_reload_conf()")
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until("the standby to be synchronous", lambda: admin.execute(query).fetchone() == (1,))
        yield primary, standby


def url_of(*clusters):
    hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in clusters)
    return f"postgresql://owner:{PASSWORD}@/auth?{hosts}&target_session_attrs=read-write"


class Clients:
    """Get tokens and end every other one, on all nodes; what was acknowledged is kept."""

    def __init__(self, nodes, made):
        self.nodes, self.made = nodes, made
        self.revoked, self.alive, self.served = [], [], [0.0] * len(nodes)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(len(nodes))]

    def _run(self, number):
        node, made = self.nodes[number], self.made[number]
        client = made["client"], made["secret"]
        while not self._stop.wait(0.02):
            try:
                status, body = node.post("/oauth/token", {"grant_type": "client_credentials"}, client)
                if status != 200:
                    continue
                self.served[number] = time.monotonic()
                token = body["access_token"]
                status, _ = node.post("/oauth/revoke", {"token": token}, client)
                (self.revoked if status == 200 else self.alive).append(token)
            except OSError:
                continue

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def test_F_14_nodes_go_on_at_the_promoted_standby_within_ten_seconds_and_nothing_acknowledged_is_lost(
    pair, record_property
):
    primary, standby = pair
    url, key = url_of(primary, standby), MasterKey.fresh()
    made, api = seed(url, key)
    with servers.start(url, key) as one, servers.start(url, key) as two:
        nodes = (one, two)
        client = made[0]["client"], made[0]["secret"]
        before = one.post("/oauth/token", {"grant_type": "client_credentials"}, client)[1]["access_token"]
        with Clients(nodes, made) as clients:
            wait_until("load", lambda: len(clients.revoked) > 40)
            primary.process.kill()
            primary.process.wait(30)
            standby.promote()
            promoted = time.monotonic()
            wait_until("both nodes to serve", lambda: min(clients.served) > promoted, seconds=30)
            took = time.monotonic() - promoted
            record_property("recovery", f"{took:.2f}")
            wait_until("readiness", lambda: all(node.get("/readyz")[0] == 200 for node in nodes), seconds=20)
            reached = len(clients.revoked)
            wait_until("load at the new primary", lambda: len(clients.revoked) > reached + 20)
        assert took < 10
        for token in clients.revoked:
            for node in nodes:
                assert node.post("/oauth/introspect", {"token": token}, api) == (200, {"active": False})
        for node in nodes:
            assert node.post("/oauth/introspect", {"token": before}, api)[1]["active"]
