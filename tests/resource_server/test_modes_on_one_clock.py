"""All modes against the real server in this process, with one clock that moves only when told.

So hours pass in a moment, and whether a call comes before or after S is not left to chance.
"""

import random
import threading
import uuid
from email.utils import formatdate

import httpx
import pytest

from authserver.actions import credentials, general_settings, resource_servers, restore, sessions, users
from authserver.oauth import changes_endpoint
from authserver.rules.facts import Reason
from keys.master import MasterKey
from keys.material import make
from resource_server import InvalidToken, Verifier
from tests.resource_server.conftest import refused
from tests.support.wsgi_client import BACKENDS, opened, parts

AUDIENCE = "https://api.example.com"
S = 30
REPORT = 10


class ServerTransport(httpx.BaseTransport):
    """The server's WSGI application, answering with the time of its clock, until it is closed."""

    def __init__(self, world):
        self._world, self._closed, self._lock = world, False, threading.Lock()
        self._wsgi = httpx.WSGITransport(world.http.application)

    def handle_request(self, request):
        with self._lock:
            if self._closed:
                raise httpx.ConnectError("closed")
            answer = self._wsgi.handle_request(request)
        answer.headers["Date"] = formatdate(self._world.clock.at, usegmt=True)
        return answer

    def close(self):
        with self._lock:
            self._closed = True


class Apis:
    """A world with an API that may trust answers for S seconds, and its verifiers, one of each mode."""

    def __init__(self, world, clock):
        self.world, self.clock = world, clock
        clock.at = float(world.clock.at)
        self.transport = ServerTransport(world)
        resource_servers.bound_staleness(world.accounts, "api", S, **world.who)
        self.verifiers = {mode: self.verifier(mode) for mode in ("exact", "leased", "feed")}

    def verifier(self, mode):
        staleness = {} if mode == "exact" else {"max_staleness": S}
        return Verifier(
            *(self.world.services.issuer, AUDIENCE, self.world.api),
            mode=mode,
            clock=self.clock,
            transport=self.transport,
            report_interval=REPORT,
            **staleness,
        )

    def move(self, seconds):
        self.clock.move(seconds)
        self.world.clock.at = int(self.clock.at)

    def report(self):
        for each in self.verifiers.values():
            each.report_now()

    def close(self):
        self.transport.close()
        for each in self.verifiers.values():
            each.close()


@pytest.fixture(params=BACKENDS)
def apis(request, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(changes_endpoint, "MAX_LONG_POLL_SECONDS", 0)  # real seconds, in which this clock does not move
    for world in opened(request.param, tmp_path):
        made = Apis(world, clock)
        yield made
        made.close()


def compromise(world, token):
    spare = make("ES256", MasterKey("A" * 43))
    world.store.keys.compromise(parts(token)[0]["kid"], "test", world.clock.at, spare)


def end_session(world, token):
    world.store.usage.flush()
    sessions.end(world.accounts, parts(token)[1]["jti"], Reason.ENDED_BY_OWNER, **world.who)


DEATHS = {
    "revoked": lambda world, token: world.post("/oauth/revoke", {"token": token}, world.client),
    "session ended": end_session,
    "all sessions ended": lambda world, _: sessions.end_all(
        world.accounts, world.client[0], Reason.ENDED_BY_OWNER, **world.who
    ),
    "role removed": lambda world, _: users.revoke(world.accounts, "ada", "writer", **world.who),
    "owner disabled": lambda world, _: users.disable(world.accounts, "ada", **world.who),
    "credential disabled": lambda world, _: credentials.disable(world.accounts, world.client[0], **world.who),
    "credential deleted": lambda world, _: credentials.delete(world.accounts, world.client[0], **world.who),
    "secret regenerated": lambda world, _: credentials.regenerate(
        world.accounts, world.client[0], 0, pepper=world.store.pepper, **world.who
    ),
    "expiry moved near": lambda world, _: credentials.edit(
        world.accounts, world.client[0], expires_at=world.clock.at + 1, **world.who
    ),
    "key compromised": compromise,
    "epoch raised": lambda world, _: restore.declare_restored(world.accounts, **world.who),
}


@pytest.mark.parametrize("death", DEATHS)
def test_INV_30_each_death_is_known_in_each_mode_within_S(apis, death):
    token = apis.world.access_token()
    for verifier in apis.verifiers.values():
        verifier.verify(token)
    apis.move(1)
    DEATHS[death](apis.world, token)
    apis.move(1)
    assert refused(apis.verifiers["exact"], token) == "inactive"
    apis.move(S)
    for mode, verifier in apis.verifiers.items():
        with pytest.raises(InvalidToken):
            verifier.verify(token)
        assert verifier.counts()["refused"], mode


@pytest.mark.parametrize("mode", ["exact", "leased", "feed"])
def test_INV_30_a_shorter_longest_lifetime_is_known_within_S_and_stays_true(apis, mode):
    """Also when it is raised again: what was too old stays dead (INV-05)."""
    token, verifier = apis.world.access_token(), apis.verifiers[mode]
    for _ in range(6 * 60 // REPORT):
        verifier.verify(token)
        apis.move(REPORT)
        verifier.report_now()
    verifier.verify(token)
    for minutes in ("5", "720"):
        general_settings.set_general(apis.world.accounts, "max_token_lifetime_minutes", minutes, **apis.world.who)
        apis.move(S + 1)
        with pytest.raises(InvalidToken):
            verifier.verify(token)


@pytest.mark.parametrize("mode", ["exact", "leased", "feed"])
def test_INV_30_a_shorter_idle_timeout_is_known_within_S_and_stays_true(apis, mode):
    token, verifier = apis.world.access_token(), apis.verifiers[mode]
    verifier.verify(token)
    verifier.report_now()
    apis.move(6 * 60)
    for minutes in ("5", "720"):
        general_settings.set_general(apis.world.accounts, "idle_timeout_minutes", minutes, **apis.world.who)
        apis.move(S + 1)
        with pytest.raises(InvalidToken):
            verifier.verify(token)


def test_a_secret_in_overlap_ends_when_it_was_said_to(apis):
    token = apis.world.access_token()
    client_id = apis.world.client[0]
    credentials.regenerate(apis.world.accounts, client_id, 3600, pepper=apis.world.store.pepper, **apis.world.who)
    for _ in range(3600 // REPORT - 1):
        apis.move(REPORT)
        for verifier in apis.verifiers.values():
            verifier.verify(token)
        apis.report()
    apis.move(REPORT)
    for verifier in apis.verifiers.values():
        with pytest.raises(InvalidToken):
            verifier.verify(token)


@pytest.mark.parametrize("mode", ["leased", "feed"])
def test_INV_06_a_token_that_is_only_used_here_stays_alive_and_dies_when_it_is_not(apis, mode):
    general_settings.set_general(apis.world.accounts, "idle_timeout_minutes", "5", **apis.world.who)
    token, verifier = apis.world.access_token(), apis.verifiers[mode]
    for _ in range(3600 // REPORT):
        verifier.verify(token, method="GET", route="/things")
        apis.move(REPORT)
        verifier.report_now()
    response = verifier.counts().get("introspected", 0)
    assert response == 0 if mode == "feed" else response <= 3600 / (S - REPORT) + 1
    apis.move(5 * 60 + 3)
    assert refused(verifier, token) == "inactive"


class History:
    """Calls and changes at random; what was let in or refused is held against what a mode promises."""

    IDLE = 60
    TOLERANCE = 3
    """Seconds: ε, and an instant that was told as a whole second."""

    def __init__(self, apis, dice):
        self.apis, self.dice, self.world = apis, dice, apis.world
        self.tokens, self.died, self.used = {}, {}, {}
        self.let_in = self.turned_away = 0

    def mint(self):
        name = f"u{uuid.uuid4().hex}"
        users.create_user(self.world.accounts, name, ["reader", "writer"], **self.world.who)
        client = self.world.credential(owner=name)
        text = self.world.access_token(client)
        self.tokens[text], self.used[text] = (name, client), self.apis.clock.at

    def kill(self, text):
        name, client = self.tokens[text]
        accounts, who = self.world.accounts, self.world.who
        self.dice.choice(
            [
                lambda: self.world.post("/oauth/revoke", {"token": text}, client),
                lambda: users.revoke(accounts, name, "writer", **who),
                lambda: users.disable(accounts, name, **who),
                lambda: credentials.delete(accounts, client[0], **who),
                lambda: credentials.regenerate(accounts, client[0], 0, pepper=self.world.store.pepper, **who),
            ]
        )()
        self.died.setdefault(text, self.apis.clock.at)

    def use(self, text, mode):
        at, bound = self.apis.clock.at, 0 if mode == "exact" else S
        idle = at - self.used[text]
        try:
            self.apis.verifiers[mode].verify(text)
        except InvalidToken:
            self.turned_away += 1
            assert text in self.died or idle >= self.IDLE - self.TOLERANCE, (mode, "refused a live token", idle)
            self.died.setdefault(text, at)
            return
        self.let_in += 1
        assert idle <= self.IDLE + self.TOLERANCE, (mode, "let an idle token in", idle)
        if text in self.died:
            assert at <= self.died[text] + bound, (mode, "let a dead token in", at - self.died[text])
            return
        self.used[text] = at

    def run(self, steps):
        for step in range(steps):
            self.apis.move(self.dice.choice([0, 0.3, 1, 2.5]))
            if step % 4 == 0:
                self.apis.report()
            if step % 25 == 0:
                self.mint()
            for text in self.dice.sample(list(self.tokens), min(3, len(self.tokens))):
                self.use(text, self.dice.choice(list(self.apis.verifiers)))
            living = [text for text in self.tokens if text not in self.died]
            if living and self.dice.random() < 0.04:
                self.kill(self.dice.choice(living))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_INV_30_no_mode_lets_a_token_in_later_than_it_promises_nor_refuses_a_live_one(apis, seed):
    general_settings.set_general(apis.world.accounts, "idle_timeout_minutes", "1", **apis.world.who)
    history = History(apis, random.Random(seed))
    history.run(400)
    assert history.let_in > 100
    assert history.turned_away > 100
