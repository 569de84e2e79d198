"""Races between threads and between two nodes over one database: ATTACKS.md, part "Races and consistency".

Each call is written down with the instants it began and returned; what must hold is
judged afterwards from these, never by how long anything took.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr
from werkzeug.test import Client

from app import create_app
from authserver.actions import credentials
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.oauth.throttle import Throttle
from tests.support.deadlines import join
from tests.support.wsgi_client import BACKENDS, basic, opened, parts

GRANT = {"grant_type": "client_credentials"}


@dataclass(frozen=True)
class Call:
    """One call and what came of it."""

    began: float
    returned: float
    result: Any


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("races"))


@pytest.fixture(scope="module")
def other_node(world):
    """The app_clients of a second node over the same database, with the same clock."""
    settings = Config(database_url=world.url, master_key=SecretStr("A" * 43), issuer=world.services.issuer)
    services = create_app(settings, clock=world.clock, background=False).extensions["services"]
    app_clients = services.wsgi()
    app_clients._throttle = Throttle(per_client=10**9, per_peer=10**9, per_resource_server=10**9)
    yield app_clients
    services.close()


def asked(app_clients, path, form, who):
    return Client(app_clients).post(path, data=form, headers={"Authorization": basic(*who)})


def timed(call):
    began = time.monotonic()
    result = call()
    return Call(began, time.monotonic(), result)


class ConcurrentThreads:
    """Threads that call again and again until told to stop."""

    def __init__(self, store, *calls):
        self._store, self._stop = store, threading.Event()
        self.seen: list[list[Call]] = [[] for _ in calls]
        self._threads = [
            threading.Thread(target=self._run, args=(call, seen)) for call, seen in zip(calls, self.seen, strict=True)
        ]

    def _run(self, call, seen):
        while not self._stop.is_set():
            seen.append(timed(call))
        self._store.thread_connections.drop()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait(1)
        return self

    def wait(self, more):
        """Until each thread has made so many calls more."""
        wanted = [len(seen) + more for seen in self.seen]
        deadline = time.monotonic() + 60
        while any(len(seen) < number for seen, number in zip(self.seen, wanted, strict=True)):
            assert time.monotonic() < deadline, "a thread died"
            time.sleep(0.001)

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            join(thread)


def test_T_121_roles_and_their_version_are_from_one_instant(world, other_node):
    name = "mover"
    user_actions.create_user(world.accounts, name, ["reader", "writer"], **world.who)
    client = world.credential(owner=name, roles=("reader", "writer"))
    held = {world.accounts.user(name).role_version: ["reader", "writer"]}
    acknowledged = [(time.monotonic(), max(held))]

    def issue(app_clients):
        return lambda: parts(asked(app_clients, "/oauth/token", GRANT, client).json["access_token"])[1]

    with ConcurrentThreads(world.store, issue(world.http.application), issue(other_node), issue(other_node)) as threads:
        for number in range(40):
            change = user_actions.grant if number % 2 else user_actions.revoke
            version = change(world.accounts, name, "writer", **world.who)
            acknowledged.append((time.monotonic(), version))
            held[version] = ["reader", "writer"] if number % 2 else ["reader"]
            threads.wait(1)
    calls = list(itertools.chain(*threads.seen))
    assert len(calls) > 40
    for call in calls:
        assert call.result["roles"] == held[call.result["role_version"]]
        known = max(version for at, version in acknowledged if at < call.began)
        assert call.result["role_version"] >= known
    assert len({call.result["role_version"] for call in calls}) > 5


@pytest.mark.parametrize("end", ["delete", "disable", "regenerate", "role", "revoke"])
def test_T_123_after_the_end_is_told_nobody_finds_it_alive(world, other_node, end):
    for number in range(5):
        name = f"{end}{number}"
        user_actions.create_user(world.accounts, name, ["reader", "writer"], **world.who)
        client = world.credential(owner=name, roles=("reader",))
        token = world.access_token(client)

        def read_state(app_clients, token=token):
            return lambda: asked(app_clients, "/oauth/introspect", {"token": token}, world.api).json["active"]

        with ConcurrentThreads(
            world.store, read_state(world.http.application), read_state(other_node), read_state(other_node)
        ) as threads:
            if end == "delete":
                credentials.delete(world.accounts, client[0], **world.who)
            elif end == "disable":
                credentials.disable(world.accounts, client[0], **world.who)
            elif end == "regenerate":
                credentials.regenerate(world.accounts, client[0], 0, pepper=world.store.pepper, **world.who)
            elif end == "role":
                user_actions.revoke(world.accounts, name, "writer", **world.who)
            else:
                assert asked(world.http.application, "/oauth/revoke", {"token": token}, client).status_code == 200
            told = time.monotonic()
            threads.wait(2)
        calls = list(itertools.chain(*threads.seen))
        assert any(call.result for call in calls)
        assert not any(call.result for call in calls if call.began > told)
        final(calls)


def final(calls):
    """Once anybody was told "inactive", no call that starts later is told "active" (INV-05)."""
    dead = min((call.returned for call in calls if not call.result), default=float("inf"))
    assert not any(call.result for call in calls if call.began > dead)


def test_T_125_the_old_secret_ends_when_the_new_one_is_told(world, other_node):
    client_id, old = world.credential()
    for _ in range(8):

        def attempt(app_clients, secret=old):
            return lambda: asked(app_clients, "/oauth/token", GRANT, (client_id, secret)).status_code == 200

        with ConcurrentThreads(
            world.store, attempt(world.http.application), attempt(other_node), attempt(other_node)
        ) as threads:
            fresh = credentials.regenerate(world.accounts, client_id, 0, pepper=world.store.pepper, **world.who)
            told = time.monotonic()
            for app_clients in (world.http.application, other_node):
                assert asked(app_clients, "/oauth/token", GRANT, (client_id, fresh.secret)).status_code == 200
            threads.wait(2)
        calls = list(itertools.chain(*threads.seen))
        assert any(call.result for call in calls)
        assert not any(call.result for call in calls if call.began > told)
        old = fresh.secret


@pytest.mark.parametrize("border", ["idle", "exp", "credential"])
def test_T_129_use_at_the_last_second_from_two_nodes(world, other_node, border):
    for _ in range(6):
        client = world.credential(days=1)
        token = world.access_token(client)
        world.store.usage.flush()
        end = {"idle": 30 * 60, "exp": 720 * 60, "credential": 86400}[border]
        start = world.clock.at
        if border != "idle":  # used all the while, so that idleness is not what ends it
            for used in range(1700, end, 1700):
                world.clock.at = start + used
                asked(world.http.application, "/oauth/introspect", {"token": token}, world.api)
                world.store.usage.flush()
        world.clock.at = start + end - 1

        def read_state(app_clients, token=token):
            def ask():
                at = world.clock.at
                return asked(app_clients, "/oauth/introspect", {"token": token}, world.api).json["active"], at

            return ask

        with ConcurrentThreads(
            world.store, read_state(world.http.application), read_state(other_node), read_state(other_node)
        ) as threads:
            threads.wait(2)
            for step in (1, 1):
                world.clock.at += step
                threads.wait(2)
        calls = [Call(call.began, call.returned, call.result[0]) for call in itertools.chain(*threads.seen)]
        final(calls)
        if border == "exp":
            assert not any(call.result[0] for call in itertools.chain(*threads.seen) if call.result[1] >= start + end)
        last = {
            asked(app_clients, "/oauth/introspect", {"token": token}, world.api).data
            for app_clients in nodes(world, other_node)
        }
        assert len(last) == 1


def nodes(world, other_node):
    return (world.http.application, other_node)


def test_T_131_no_answer_ever_mixes_two_requests(world, other_node, monkeypatch):
    """64 threads, 200 clients of 20 owners, every 17th read failing in the middle."""
    names = [f"owner{number}" for number in range(20)]
    owners = [user_actions.create_user(world.accounts, name, ["reader", "writer"], **world.who) for name in names]
    clients = [
        (owner, world.credential(owner=owner.username, roles=("reader",))) for owner in owners for _ in range(10)
    ]
    turns = itertools.count()
    reads = type(world.store.hot_path).issue_facts

    def sometimes(self, client_id, resource):
        facts = reads(self, client_id, resource)
        if next(turns) % 17 == 0:
            msg = "in the middle"
            raise RuntimeError(msg)
        return facts

    monkeypatch.setattr(type(world.store.hot_path), "issue_facts", sometimes)

    def work(number):
        wrong, failed = 0, 0
        for turn in range(20):
            owner, client = clients[(number * 31 + turn * 7) % len(clients)]
            app_clients = nodes(world, other_node)[(number + turn) % 2]
            answer = asked(app_clients, "/oauth/token", GRANT, client)
            if answer.status_code == 500:
                failed += 1
                continue
            token = answer.json["access_token"]
            claims = parts(token)[1]
            wrong += (claims["sub"], claims["client_id"]) != (owner.id, client[0])
            introspection = asked(app_clients, "/oauth/introspect", {"token": token}, world.api)
            if introspection.status_code == 503:  # uses cannot be recorded in time (INV-25): no answer is mixed
                continue
            document = introspection.json
            wrong += (document.get("sub"), document.get("jti")) != (owner.id, claims["jti"])
        world.store.thread_connections.drop()
        return wrong, failed

    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(work, range(64)))
    assert sum(wrong for wrong, _ in results) == 0
    assert sum(failed for _, failed in results) > 30
