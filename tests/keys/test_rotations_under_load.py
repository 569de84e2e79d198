"""Rotations and a compromise under load: eight processes over one PostgreSQL, clocks apart, verifiers with real caches.

Every verifier keeps the JWKS of one node for ``CACHE`` seconds and never fetches early for a ``kid`` it does not
know; so a key that signed before its announcement, or that one node showed late, is a token it rejects. ``ROTATIONS``
makes the run longer (``make rotations``: a hundred); a rotation takes four seconds, as the announcement does.
"""

import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
import requests

from app import create_app
from authserver.actions import general_settings, signing_keys
from authserver.config import Config
from keys.keyring import State
from keys.master import MasterKey
from keys.watch import Watch, fetch
from tests.faults.test_history import ISSUER, seed
from tests.support import clients_js_plugin, databases, servers
from tests.support.deadlines import join, read_line

ROTATIONS = int(os.environ.get("ROTATIONS", "10"))
SKEWS = (-2, -1, 1, 2)
WORKERS = 2
CACHE = 0.4
ANNOUNCEMENT = 4
"""Whole seconds are counted, and a key shows when its transaction commits, on a busy machine a while after its instant
was read: so it is published for more than two, and every cache is younger than that."""
LOADERS = 3
YOUNG = 25
"""Seconds a token is verified again for."""
SKEW_PATH = str(Path(__file__).parents[1] / "support" / "skew")
NOW = time.monotonic


class Cached:
    """The strictest verifier there is: PyJWT on the keys of one node as they were when the cache was filled."""

    def __init__(self, url):
        self.url, self.keys, self.filled, self.lock = f"{url}/.well-known/jwks.json", {}, -1e9, threading.Lock()

    def verify(self, token):
        with self.lock:
            if NOW() - self.filled > CACHE:
                # Old from the moment it was asked for, as a cache counts it.
                self.filled = NOW()
                keys = requests.get(self.url, timeout=10).json()["keys"]
                self.keys = {key["kid"]: jwt.PyJWK(key) for key in keys}
            key = self.keys[jwt.get_unverified_header(token)["kid"]]
        checks = {"verify_aud": False, "verify_iat": False}
        return jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, options=checks, leeway=5)


class Stock:
    """PyJWT's own client, with its cache of keys and of the set; it may fetch again for a ``kid`` it does not know."""

    def __init__(self, url):
        self.client = jwt.PyJWKClient(f"{url}/.well-known/jwks.json", cache_keys=True, lifespan=1)

    def verify(self, token):
        key = self.client.get_signing_key_from_jwt(token)
        checks = {"verify_aud": False, "verify_iat": False}
        return jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, options=checks, leeway=5)


class Jose:
    """npm ``jose`` in a process of its own."""

    def __init__(self, urls):
        self.process = subprocess.Popen(
            ["node", "rotation/verifier.mjs"],
            cwd=clients_js_plugin.HOME,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        values = {"issuer": ISSUER, "jwks": [f"{url}/.well-known/jwks.json" for url in urls], "maxAge": CACHE * 1000}
        self.process.stdin.write(json.dumps(values) + "\n")
        self.lock, self.count = threading.Lock(), 0

    def verify(self, token):
        with self.lock:
            self.process.stdin.write(token + "\n")
            said = read_line(self.process.stdout, "the verdict of jose").strip()
            self.count += 1
        if said != "ok":
            raise jwt.InvalidTokenError(f"jose: {said}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Load:
    """Clients that ask for tokens everywhere, and verify each everywhere else, until told to stop."""

    def __init__(self, urls, made, api, verifiers):
        self.urls, self.made, self.api, self.verifiers = urls, made, api, verifiers
        self.stop = threading.Event()
        self.faults, self.minted, self.asked = [], [], []
        self.fed = queue.SimpleQueue()

    def run(self, seed):
        dice, session, kept = random.Random(seed), requests.Session(), []
        while not self.stop.is_set():
            try:
                self.once(dice, session, kept)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is a finding
                self.faults.append(f"{type(error).__name__}: {error}")
        session.close()

    def once(self, dice, session, kept):
        who, called = dice.choice(self.made), NOW()
        answer = session.post(
            f"{dice.choice(self.urls)}/oauth/token",
            {"grant_type": "client_credentials"},
            auth=(who["client"], who["secret"]),
            timeout=20,
        )
        if answer.status_code != 200:
            self.faults.append(f"token: {answer.status_code} {answer.text}")
            return
        token = answer.json()["access_token"]
        kid = jwt.get_unverified_header(token)["kid"]
        self.minted.append((called, kid))
        self.fed.put(token)
        # However slow the machine is: none that could end while it is being verified (they live a minute).
        kept[:] = [(text, since) for text, since in [*kept[-40:], (token, called)] if NOW() - since < YOUNG]
        if not kept:
            return
        for verifier in dice.sample(self.verifiers, 3) if self.verifiers else ():
            verifier.verify(token)
            verifier.verify(dice.choice(kept)[0])
        old, _ = dice.choice(kept)
        called = NOW()
        answer = session.post(f"{dice.choice(self.urls)}/oauth/introspect", {"token": old}, auth=self.api, timeout=20)
        if answer.status_code != 200:
            self.faults.append(f"introspection: {answer.status_code} {answer.text}")
            return
        self.asked.append((called, jwt.get_unverified_header(old)["kid"], answer.json()["active"]))


class ActiveKeyCounter(threading.Thread):
    """Looks at the ring again and again: one active key at every instant."""

    def __init__(self, store, stop):
        super().__init__()
        self.store, self.stop, self.reads, self.wrong = store, stop, 0, []

    def run(self):
        while not self.stop.wait(0.01):
            active = [key.kid for key in self.store.keys.ring() if key.state is State.ACTIVE]
            self.reads += 1
            if len(active) != 1:
                self.wrong.append(active)


class JwksWatcher(threading.Thread):
    """``keys.watch`` on all nodes, fed every token."""

    def __init__(self, urls, load, window=ANNOUNCEMENT - 2):
        super().__init__()
        self.urls, self.load = urls, load
        self.watch = Watch(window=window, grace=3.0)

    def run(self):
        while not self.load.stop.wait(0.1):
            for url in self.urls:
                requested_at = time.time()
                self.watch.record_jwks(url, fetch(f"{url}/.well-known/jwks.json"), time.time(), requested_at)
            self.watch.compare_nodes(time.time())
            while not self.load.fed.empty():
                self.watch.check_token(self.load.fed.get(timeout=60), time.time())


@pytest.fixture(scope="module")
def nodes():
    """Servers started at the same instant on a database without keys; what the clients need to know."""
    url, key = databases.fresh_postgres_url(), MasterKey.fresh()
    made, api = seed(url, key)
    services = create_app(Config(database_url=url, master_key=key, issuer=ISSUER), background=False).extensions[
        "services"
    ]
    store = services.store()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM signing_keys")
    started = [
        servers.Server(url, key, workers=WORKERS, env={"PYTHONPATH": SKEW_PATH, "TEST_SKEW": str(skew)})
        for skew in SKEWS
    ]
    try:
        with ThreadPoolExecutor(len(started)) as pool:
            list(pool.map(lambda server: server.ready(), started))
        assert [key.state for key in store.keys.ring()] == [State.ACTIVE], "eight processes make one key"
        yield services, started, made, tuple(api)
        assert [server.process.poll() for server in started] == [None] * len(started)
    finally:
        for server in started:
            server.process.terminate()
        for server in started:
            server.close()
        services.close()


def key_context(services):
    """The signing service with its times made short; nothing else is different."""
    store = services.store()
    found = signing_keys.key_context(store.accounts, store.keys, services.key_store, store.jwks_fetchers)
    return replace(found, policy=replace(found.policy, announcement=ANNOUNCEMENT))


def who(services):
    return {"actor": "test", "now": services.clock.now()}


def turned(services, rotations):
    """So many rotations, each as an operator makes it; how often it was refused for being early."""
    early = 0
    for _ in range(rotations):
        staged = signing_keys.rotate(key_context(services), "ES256", **who(services))
        assert staged.state is State.STAGED
        while True:
            try:
                active = signing_keys.rotate(key_context(services), "ES256", **who(services))
            except signing_keys.Conflict:
                early += 1
                time.sleep(0.1)
            else:
                assert (active.kid, active.state) == (staged.kid, State.ACTIVE)
                break
        signing_keys.tick(key_context(services), **who(services))
    return early


def loaded(services, started, made, api):
    urls = [server.url for server in started]
    verifiers = [kind(url) for kind in (Cached, Stock) for url in urls]
    fault = clients_js_plugin.missing()
    assert not (fault and os.environ.get("CI")), fault
    if not fault:
        verifiers += [Jose(urls)] * 4
    return Load(urls, made, api, verifiers)


def told(capsys, text):
    """A line for whoever watches the run."""
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


def test_INV_13_to_16_nobody_notices_that_keys_rotate(nodes, capsys):
    services, started, made, api = nodes
    store = services.store()
    general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "1", **who(services))
    general_settings.set_general(store.accounts, "idle_timeout_minutes", "5", **who(services))
    load = loaded(services, started, made, api)
    watching = [ActiveKeyCounter(store, load.stop), JwksWatcher(load.urls, load)]
    threads = [*watching, *(threading.Thread(target=load.run, args=(seed,)) for seed in range(LOADERS))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1.0)
        early = turned(services, ROTATIONS)
    finally:
        load.stop.set()
        for thread in threads:
            join(thread)
        for verifier in {each for each in load.verifiers if isinstance(each, Jose)}:
            verifier.close()
    signed = {kid for _, kid in load.minted}
    told(
        capsys,
        f"{ROTATIONS} rotations, {len(load.minted)} tokens of {len(signed)} keys, {len(load.asked)} introspections, "
        f"{watching[0].reads} reads of the ring, {watching[1].watch.fetches} fetched JWKS, {early} refused as early",
    )
    assert load.faults == []
    assert all(active for _, _, active in load.asked)
    assert watching[0].wrong == []
    assert watching[1].watch.findings == []
    assert len(signed) >= ROTATIONS, "every key was used"
    assert early >= ROTATIONS
    assert len(load.minted) > 10 * ROTATIONS


def test_INV_15_behind_the_acknowledgement_of_a_compromise_no_node_accepts(nodes, capsys):
    services, started, made, api = nodes
    store = services.store()
    load = Load([server.url for server in started], made, api, [])
    threads = [threading.Thread(target=load.run, args=(seed,)) for seed in range(LOADERS)]
    for thread in threads:
        thread.start()
    acknowledged = {}
    try:
        for _ in range(3):
            time.sleep(1.5)
            (active,) = [key.kid for key in store.keys.ring() if key.state is State.ACTIVE]
            signing_keys.compromise(key_context(services), active, **who(services), reason="test")
            acknowledged[active] = NOW()
            shown = {key["kid"] for url in load.urls for key in fetch(f"{url}/.well-known/jwks.json")["keys"]}
            assert active not in shown
        time.sleep(1.5)
    finally:
        load.stop.set()
        for thread in threads:
            join(thread)
    assert load.faults == []
    late = [(called, kid, active) for called, kid, active in load.asked if called > acknowledged.get(kid, 1e18)]
    assert len(late) > 10
    assert [each for each in late if each[2]] == []
    assert [kid for called, kid in load.minted if called > acknowledged.get(kid, 1e18)] == []
    assert any(active for _, kid, active in load.asked if kid in acknowledged)
    told(capsys, f"3 compromises, {len(load.minted)} tokens, {len(late)} introspections of dead ones, none active")


def test_the_watch_finds_a_rotation_that_was_forced(nodes):
    services, started, made, api = nodes
    load = Load([server.url for server in started], made, api, [])
    watching = JwksWatcher(load.urls, load, window=3600)
    watching.start()
    try:
        for _ in range(2):
            fetches = watching.watch.fetches
            while watching.watch.fetches < fetches + 2 * len(load.urls):
                time.sleep(0.05)
            forced = signing_keys.rotate(key_context(services), "ES256", **who(services), reason="test")
        load.once(random.Random(1), requests.Session(), [])
        tokens = watching.watch.tokens
        while watching.watch.tokens == tokens and watching.is_alive() and not watching.watch.findings:
            time.sleep(0.05)
    finally:
        load.stop.set()
        join(watching)
    assert load.faults == []
    assert {(each.fault, each.kid) for each in watching.watch.findings} == {("too_early", forced.kid)}
