"""Three verifiers in different modes, two nodes over one database: no token is let in later than its mode promises.

Every call and every change is written down with the instants of one monotonic clock, and judged afterwards: a call is
late when it began more than the bound of its mode after a change that ended its token was acknowledged, or when it is
let in after nobody used its token for the idle timeout. A fourth verifier fetches its feed and looks at nothing in it:
the judge must find it. ``HISTORY_OPERATIONS`` makes the run longer; idle ends need more than a minute.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from app import create_app
from authserver.actions import credentials, general_settings, resource_servers, sessions, signing_keys, users
from authserver.config import Config
from authserver.rules.facts import Reason
from keys.master import MasterKey
from resource_server import Refused, Verifier
from tests.faults.test_history import seed
from tests.support import databases, servers
from tests.support.deadlines import join
from tests.support.wsgi_client import parts

OPERATIONS = int(os.environ.get("HISTORY_OPERATIONS", "4000"))
S = 2
IDLE_SECONDS = 60
LONG = OPERATIONS >= 50_000
"""Long enough for tokens to idle out, which takes a minute at least."""

PAUSE = 0.0003 if LONG else 0.003
BOUNDS = {"exact": 0.0, "leased": float(S), "feed": float(S), "deaf": float(S)}
PARKED = 5
AUDIENCE = "https://api.example.com"


@dataclass(frozen=True)
class Let:
    """One call that was let in."""

    mode: str
    jti: str
    began: float
    ended: float


class World:
    """What is true, as the administrator knows it; ``died`` is when the end of a token was acknowledged."""

    def __init__(self, url, key, issuer, made):
        self.services = create_app(
            Config(database_url=url, master_key=key, issuer=issuer), background=False
        ).extensions["services"]
        self.store, self.dice, self.lock = self.services.store(), random.Random(11), threading.Lock()
        self.made, self.nodes = made, []
        self.live: dict[str, tuple[str, dict, str]] = {}
        self.ended: dict[str, str] = {}
        self.died: dict[str, float] = {}
        self.minted: dict[str, float] = {}
        self.kinds: Counter[str] = Counter()

    @property
    def accounts(self):
        return self.store.accounts

    @property
    def who(self):
        return {"actor": "test", "now": self.services.clock.now()}

    def mint(self, owner):
        node = self.dice.choice(self.nodes)
        status, told = node.post(
            "/oauth/token",
            {"grant_type": "client_credentials", "resource": AUDIENCE},
            (owner["client"], owner["secret"]),
        )
        assert status == 200, told
        text = told["access_token"]
        header, claims = parts(text)
        with self.lock:
            self.minted[claims["jti"]] = time.monotonic()
            self.live[claims["jti"]] = (text, owner, header["kid"])
        return claims["jti"]

    def texts(self):
        """Live tokens, and some that ended lately: those are what may be let in late."""
        with self.lock:
            return [(jti, text) for jti, (text, _, _) in self.live.items()] + list(self.ended.items())[-40:]

    def end(self, kind, change, matches):
        """Make a change; from its acknowledgement on these tokens are dead."""
        with self.lock:
            hit = [jti for jti, token in self.live.items() if matches(jti, token)]
        change()
        now = time.monotonic()
        self.kinds[kind] += 1
        with self.lock:
            for jti in hit:
                self.died[jti] = now
                self.ended[jti] = self.live.pop(jti)[0]

    def one_change(self):
        with self.lock:
            jti, (text, owner, _) = self.dice.choice(list(self.live.items()))
        of_owner = lambda _, token: token[1]["user"] == owner["user"]  # noqa: E731
        of_client = lambda _, token: token[1]["client"] == owner["client"]  # noqa: E731
        kind = self.dice.choice(["revoke", "revoke", "roles", "disable", "sessions", "secret", "owner"])
        if kind == "revoke":
            self.end(kind, lambda: self.revoke(text, owner), lambda each, _: each == jti)
        elif kind == "roles":
            self.end(kind, lambda: users.revoke(self.accounts, owner["user"], "writer", **self.who), of_owner)
            users.grant(self.accounts, owner["user"], "writer", **self.who)
        elif kind == "disable":
            self.end(kind, lambda: credentials.disable(self.accounts, owner["client"], **self.who), of_client)
            time.sleep(1.1)  # within one second a credential's end and a new token cannot be told apart offline
            credentials.enable(self.accounts, owner["client"], **self.who)
        elif kind == "sessions":
            end_all = lambda: sessions.end_all(  # noqa: E731
                self.accounts, owner["client"], reason=Reason.ENDED_BY_OPERATOR, **self.who
            )
            self.end(kind, end_all, of_client)
            time.sleep(1.1)
        elif kind == "secret":
            self.end(kind, lambda: self.regenerate(owner), of_client)
        else:
            self.end(kind, lambda: users.disable(self.accounts, owner["user"], **self.who), of_owner)
            users.enable(self.accounts, owner["user"], **self.who)
        with self.lock:
            missing = [each for each in self.made if not any(token[1] is each for token in self.live.values())]
        for each in missing:
            for _ in range(3):
                self.mint(each)

    def revoke(self, text, owner):
        node = self.dice.choice(self.nodes)
        status, _ = node.post("/oauth/revoke", {"token": text}, (owner["client"], owner["secret"]))
        assert status == 200

    def regenerate(self, owner):
        revealed = credentials.regenerate(self.accounts, owner["client"], 0, pepper=self.store.pepper, **self.who)
        owner["secret"] = revealed.secret

    def compromise(self):
        """A key in wrong hands: all that it signed is dead."""
        active = next(key for key in self.store.keys.ring() if key.state == "active")
        context = signing_keys.key_context(
            self.accounts, self.store.keys, self.services.key_store, self.store.jwks_fetchers
        )
        self.end(
            "key", lambda: signing_keys.compromise(context, active.kid, **self.who), lambda _, t: t[2] == active.kid
        )
        for owner in self.made:
            for _ in range(3):
                self.mint(owner)


class Calls:
    """What is called, by several threads for each verifier."""

    def __init__(self, world):
        self.world, self.history, self.faults, self.stop = world, [], [], threading.Event()
        self.number, self._lock = 0, threading.Lock()

    def run(self, mode, verifier, dice):
        try:
            while not self.stop.is_set():
                for jti, text in dice.sample(texts := self.world.texts(), min(20, len(texts))):
                    began = time.monotonic()
                    try:
                        verifier.verify(text)
                    except Refused:
                        pass
                    else:
                        self.history.append(Let(mode, jti, began, time.monotonic()))
                    with self._lock:
                        self.number += 1
                    time.sleep(PAUSE)
        except Exception as error:
            self.faults.append(error)
            raise


def late(history, world):
    """The calls that were let in later than the mode promises, or after their token had idled out."""
    found = [
        each for each in history if each.jti in world.died and each.began > world.died[each.jti] + BOUNDS[each.mode]
    ]
    last = dict(world.minted)
    for each in sorted(history, key=lambda each: each.ended):
        # Two seconds for whole seconds and for what is buffered (INV-06); a use is as late as it was reported.
        if each.began > last[each.jti] + IDLE_SECONDS + 2:
            found.append(each)
        last[each.jti] = max(last[each.jti], each.ended)
    return found


def verifier(issuer, api, node, mode, report_interval=2):
    """A verifier that asks one node; reports and new keys come often, since the run is short."""
    places = {
        "introspection_endpoint": f"{node.url}/oauth/introspect",
        "usage_endpoint": f"{node.url}/oauth/usage",
        "changes_endpoint": f"{node.url}/oauth/changes",
        "jwks_uri": f"{node.url}/.well-known/jwks.json",
    }
    bound = {} if mode == "exact" else {"max_staleness": S}
    often = {"report_interval": report_interval, "unknown_key_interval": 1}
    return Verifier(issuer, AUDIENCE, tuple(api), mode=mode, **bound, **places, **often)


def act(world, calls, parked):
    """Change one thing after the other until enough was called; then wait until every bound has passed."""
    began, compromises = time.monotonic(), 0
    while calls.number < OPERATIONS or time.monotonic() < began + S + 4:
        world.one_change()
        time.sleep(world.dice.random() * 0.1)
        if compromises < 2 and calls.number > OPERATIONS * (compromises + 1) // 3:
            world.compromise()
            compromises += 1
    time.sleep(S + 1)
    if LONG:
        time.sleep(max(0.0, began + IDLE_SECONDS + 4 - time.monotonic()))
        world.ended.update(parked)  # called from here on, by all
        time.sleep(3)


@pytest.mark.slow
def test_INV_30_nothing_is_let_in_later_than_promised_and_a_deaf_verifier_is_caught(tmp_path):
    url, key, port = databases.fresh_sqlite_url(tmp_path), MasterKey.fresh(), servers.free_port()
    issuer = f"http://127.0.0.1:{port}"
    made, api = seed(url, key)
    env = {"AUTHSERVER_ISSUER": issuer, "AUTHSERVER_DEMO": "0", "PATH": os.environ["PATH"]}
    world = World(url, key, issuer, made)
    resource_servers.bound_staleness(world.accounts, "api", S, **world.who)
    general_settings.set_general(world.accounts, "idle_timeout_minutes", str(IDLE_SECONDS // 60), **world.who)
    with servers.start(url, key, port=port, env=env) as one, servers.start(url, key, env=env) as two:
        world.nodes = [one, two]

        made_verifiers = {
            "exact": verifier(issuer, api, one, "exact"),
            "leased": verifier(issuer, api, two, "leased"),
            "feed": verifier(issuer, api, one, "feed"),
            # The answers to its usage reports name the dead, too: as often as the others it would hear of them in time.
            "deaf": verifier(issuer, api, two, "feed", report_interval=10),
        }
        for owner in made:
            for _ in range(3):
                world.mint(owner)
        made_verifiers["deaf"].verify(world.texts()[0][1])
        made_verifiers["deaf"]._state.feed._apply = lambda document, known: True
        idle = [world.mint(made[0]) for _ in range(PARKED)] if LONG else []
        parked = {jti: world.live.pop(jti)[0] for jti in idle}
        calls = Calls(world)
        threads = [
            threading.Thread(target=calls.run, args=(mode, each, random.Random(f"{mode} {number}")))
            for mode, each in made_verifiers.items()
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        try:
            act(world, calls, parked)
            end = time.monotonic() + 60  # on a slow machine it has hardly been called yet
            while all(each.mode != "deaf" for each in late(list(calls.history), world)) and time.monotonic() < end:
                time.sleep(0.5)
        finally:
            calls.stop.set()
            for thread in threads:
                join(thread)
        for each in made_verifiers.values():
            each.close()
    world.services.close()
    assert not calls.faults
    let = Counter(each.mode for each in calls.history)
    print(json.dumps({"operations": calls.number, "let in": let, "changes": world.kinds}))  # noqa: T201 - for -s
    assert calls.number >= OPERATIONS
    assert min(let[mode] for mode in BOUNDS) > 50, let
    assert world.kinds["key"] >= 1, world.kinds
    assert len(world.kinds) >= 5, world.kinds
    modes = Counter(each.mode for each in late(calls.history, world))
    assert set(modes) == {"deaf"}, modes
