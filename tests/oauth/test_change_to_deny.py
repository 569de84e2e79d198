"""The probe of each serving process: how long after an end its tokens are refused there."""

import threading
import time

import pytest

from authserver.actions import credentials, restore, sessions, signing_keys, users
from authserver.ports.errors import Unavailable
from authserver.rules.facts import Reason
from authserver.store.tables import kills
from authserver.telemetry.denial_probe import LOOK_SECONDS, MOST_AT_ONCE, DenialProbe
from authserver.telemetry.metrics import Metrics
from tests.support.wsgi_client import BACKENDS, opened


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("change_to_deny"))


class Watch:
    """A probe that looks when told, over one node's reads."""

    def __init__(self, world, hot_path=None, reads=None):
        self.seconds, self.outcomes = [], []
        self.probe = DenialProbe(
            reads or world.store.kill_reads, hot_path or world.store.hot_path, self.seconds.append, self.outcomes.append
        )
        self.probe.look()


def issued(world):
    """A credential of its own with a token on record; the client and the token's id."""
    client = world.credential()
    world.access_token(client)
    world.store.usage.flush()
    [session] = world.store.sessions.of_credential(client[0])
    return client, session.jti


def change_roles(world):
    """Take the role that ada has, or give it back: tests run in any order."""
    change = users.revoke if "builder" in {role.name for role in world.accounts.user("ada").roles} else users.grant
    change(world.accounts, "ada", "builder", **world.who)


ENDS = {
    "a token ended by hand": lambda world, client, jti: sessions.end(
        world.accounts, jti, Reason.ENDED_BY_OPERATOR, **world.who
    ),
    "a credential disabled": lambda world, client, jti: credentials.disable(world.accounts, client[0], **world.who),
    "a credential deleted": lambda world, client, jti: credentials.delete(world.accounts, client[0], **world.who),
    "a secret regenerated": lambda world, client, jti: credentials.regenerate(
        world.accounts, client[0], 0, pepper=world.store.pepper, **world.who
    ),
    "a role changed": lambda world, client, jti: change_roles(world),
    "a role changed back": lambda world, client, jti: change_roles(world),
    "a database restored": lambda world, client, jti: restore.declare_restored(world.accounts, **world.who),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_each_kind_of_end_is_measured_once(world, end):
    client, jti = issued(world)
    watch = Watch(world)
    began = time.time()
    end(world, client, jti)
    watch.probe.look()
    took = time.time() - began
    assert watch.outcomes == ["refused"]
    [seconds] = watch.seconds
    assert 0 <= seconds <= took + 0.01  # two readings of one clock, in whole milliseconds
    watch.probe.look()
    assert watch.outcomes == ["refused"]


def test_a_compromised_key_is_measured(world):
    issued(world)
    watch = Watch(world)
    services = world.services
    keys = signing_keys.key_context(world.accounts, world.store.keys, services.key_store, world.store.jwks_fetchers)
    signing_keys.compromise(keys, world.store.keys.ring()[0].kid, **world.who)
    watch.probe.look()
    assert watch.outcomes == ["refused"]


def test_what_ends_by_a_date_or_ended_nothing_is_not_measured(world):
    client, _ = issued(world)
    unused = world.credential()
    watch = Watch(world)
    credentials.regenerate(world.accounts, client[0], 3600, pepper=world.store.pepper, **world.who)
    credentials.edit(world.accounts, client[0], expires_at=world.clock.at + 86400, **world.who)
    credentials.disable(world.accounts, unused[0], **world.who)
    watch.probe.look()
    assert (watch.outcomes, watch.seconds) == ([], [])


def test_a_look_is_no_use_and_writes_nothing(world):
    client, jti = issued(world)
    watch = Watch(world)
    credentials.disable(world.accounts, client[0], **world.who)
    watch.probe.look()
    world.store.usage.flush()
    [session] = world.store.sessions.of_credential(client[0])
    assert (session.jti, session.last_used_at, session.ended_at) == (jti, session.issued_at, None)


class Stale:
    """A node that reads what was true before the end, as one that asks a replica would; ``catch_up`` ends that."""

    def __init__(self, hot_path):
        self._hot_path, self._kept, self.stale = hot_path, {}, True

    def introspection_facts(self, caller, keys):
        if not self.stale:
            return self._hot_path.introspection_facts(caller, keys)
        return self._kept[keys.jti]

    def remember(self, keys):
        self._kept[keys.jti] = self._hot_path.introspection_facts("", keys)


def test_a_node_that_goes_on_answering_active_is_told_once_and_measured_when_it_stops(world, capsys):
    client, _ = issued(world)
    [session] = world.store.sessions.of_credential(client[0])
    node = Stale(world.store.hot_path)
    node.remember(signing_keys.keys_of(session))
    watch = Watch(world, hot_path=node)
    credentials.disable(world.accounts, client[0], **world.who)
    began = time.monotonic()
    watch.probe.look()
    watch.probe.look()
    assert (watch.outcomes, watch.seconds) == (["still_active"], [])
    logged = capsys.readouterr()
    assert (logged.out + logged.err).count("ended_token_is_active") == 1
    time.sleep(0.05)
    node.stale, waited = False, time.monotonic() - began
    watch.probe.look()
    assert watch.outcomes == ["still_active", "refused"]
    assert watch.seconds[0] >= waited - 0.01


class Broken:
    """Reads that fail as often as told, and then go through."""

    def __init__(self, reads, times):
        self._reads, self.times = reads, times

    def __getattr__(self, name):
        if self.times:
            self.times -= 1
            raise Unavailable("the database cannot be reached now")
        return getattr(self._reads, name)


def test_while_the_database_cannot_be_read_nothing_is_lost(world):
    client, _ = issued(world)
    reads = Broken(world.store.kill_reads, 0)
    watch = Watch(world, reads=reads)
    credentials.disable(world.accounts, client[0], **world.who)
    reads.times = 2
    watch.probe.look()
    watch.probe.look()
    watch.probe.look()
    assert watch.outcomes == ["unavailable", "unavailable", "refused"]


def test_many_ends_together_are_followed_by_the_newest(world):
    clients = [issued(world)[0] for _ in range(3)]
    watch = Watch(world)
    credentials.disable_many(world.accounts, [client for client, _ in clients], **world.who)
    watch.probe.look()
    assert watch.outcomes == ["refused"] * 3
    assert len(clients) < MOST_AT_ONCE


def test_its_thread_measures_by_itself_and_stops(world):
    client, _ = issued(world)
    seen = threading.Event()
    metrics = Metrics(dict)

    def denied(seconds):
        metrics.denied(seconds)
        seen.set()

    probe = DenialProbe(world.store.kill_reads, world.store.hot_path, denied, metrics.denial_probe)
    probe.look()
    probe.start()
    try:
        credentials.disable(world.accounts, client[0], **world.who)
        assert seen.wait(60 * LOOK_SECONDS)
    finally:
        probe.stop()
    text = metrics.exposition().decode()
    assert 'oauth_change_to_deny_probes_total{outcome="refused"} 1.0' in text
    assert "oauth_change_to_deny_seconds_count 1.0" in text


def test_an_end_written_by_the_version_before_has_no_stamp_and_is_passed_over(world):
    client, _ = issued(world)
    watch = Watch(world)
    credentials.disable(world.accounts, client[0], **world.who)
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.execute(kills.update().values(stamped_ms=None))
        connection.commit()
    watch.probe.look()
    assert watch.outcomes == []
