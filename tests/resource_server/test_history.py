"""Three verifiers in different modes, one server, many changes: no token is let in later than its mode promises.

Each call and each change is written down with the instants of one monotonic clock, and judged afterwards: a call is
wrong when it began more than S after a change, that ends its token, was acknowledged, and was let in all the same.
"""

import random
import threading
import time
from dataclasses import dataclass

import pytest

from resource_server import Refused, Verifier
from resource_server.kit.issuer import Issuer
from resource_server.kit.server import served
from tests.resource_server.conftest import until

S = 2
SECONDS = 8.0


@dataclass(frozen=True)
class Let:
    """One call that was let in."""

    mode: str
    jti: str
    began: float


class World:
    """Owners with tokens; ``died`` is when the change that ended a token was acknowledged."""

    def __init__(self, issuer):
        self.issuer, self.dice = issuer, random.Random(7)
        self.lock = threading.Lock()
        self.live: dict[str, str] = {}
        self.died: dict[str, float] = {}

    def mint(self):
        number = self.dice.randrange(10**9)
        text = self.issuer.mint(
            client_id=f"c-{number}", act={"sub": f"c-{number}"}, sub=f"usr_{number}",
            standing={"secret": f"s-{number}", "credential_version": 1, "epoch": 1},
        )  # fmt: skip
        with self.lock:
            jti = next(jti for jti, issued in self.issuer.issued.items() if issued.text == text)
            self.live[jti] = text

    def end_one(self):
        with self.lock:
            jti, text = self.dice.choice(list(self.live.items()))
        claims = self.issuer.issued[jti].claims
        how = self.dice.randrange(4)
        if how == 0:
            self.issuer.revoke(text)
        elif how == 1:
            self.issuer.end_credential(claims["client_id"])
        elif how == 2:
            self.issuer.end_secret(claims["standing"]["secret"])
        else:
            self.issuer.disable_user(claims["sub"])
        self.died[jti] = time.monotonic()

    def end_many(self):
        """A key compromise: everything signed with it."""
        old = self.issuer.active.kid
        self.issuer.activate(self.issuer.announce())
        self.issuer.compromise(old)
        now = time.monotonic()
        with self.lock:
            for jti in self.live:
                self.died.setdefault(jti, now)


def late(history, died, bounds):
    """The calls that were let in later than the mode promises."""
    return [let for let in history if let.jti in died and let.began > died[let.jti] + bounds[let.mode]]


def calls(world, mode, verifier, *, seed, history, faults, stop):
    """Call with one token after the other, and write down what was let in."""
    dice = random.Random(seed)
    while not stop.is_set():
        with world.lock:
            jti, text = dice.choice(list(world.live.items()))
        began = time.monotonic()
        try:
            verifier.verify(text)
        except Refused:
            time.sleep(0.001)
        except Exception as error:
            faults.append(error)
            raise
        else:
            history.append(Let(mode, jti, began))
            time.sleep(0.0005)


def played(*, skips_its_feed=False):
    issuer = Issuer(staleness=S)
    world, history, stop, faults = World(issuer), [], threading.Event(), []
    with served(issuer) as server:
        made = {
            "exact": Verifier(issuer.url, issuer.audience, issuer.api),
            "leased": Verifier(issuer.url, issuer.audience, issuer.api, mode="leased", max_staleness=S),
            "feed": Verifier(issuer.url, issuer.audience, issuer.api, mode="feed", max_staleness=S),
        }
        for _ in range(40):
            world.mint()
        if skips_its_feed:
            state = made["feed"]._state
            made["feed"].verify(next(iter(world.live.values())))
            state.feed._apply = lambda document, known: True  # it fetches, and looks at nothing

        shared = {"history": history, "faults": faults, "stop": stop}
        threads = [
            threading.Thread(target=calls, args=(world, mode, made[mode]), kwargs={"seed": seed, **shared})
            for mode in made
            for seed in range(2)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.1)
            world.end_one()
            world.mint()
            if world.dice.random() < 0.02:
                world.end_many()
        time.sleep(S + 1)
        stop.set()
        for thread in threads:
            thread.join(20)
        counts = {mode: verifier.counts() for mode, verifier in made.items()}
        for verifier in made.values():
            verifier.close()
        assert server.counts["/oauth/changes"] > 1
    assert not faults
    return history, world.died, counts


# Exact: none. The others: S, and what a test machine needs between reading the clock and calling.
BOUNDS = {"exact": 0.0, "leased": S, "feed": S}


@pytest.mark.slow
def test_INV_30_nothing_is_let_in_later_than_promised():
    history, died, counts = played()
    assert {let.mode for let in history} == set(BOUNDS)
    assert len(history) > 1000, counts
    assert len(died) > 20
    assert late(history, died, BOUNDS) == []


@pytest.mark.slow
def test_and_one_that_skips_its_feed_is_caught():
    history, died, _ = played(skips_its_feed=True)
    assert {let.mode for let in late(history, died, BOUNDS)} == {"feed"}


def test_many_verifiers_come_back_without_a_herd(issuer, server, clock):
    """After an outage, 50 verifiers with 8 threads each: each asks with one call first, at different times."""
    issuer.staleness = 5
    verifiers = [
        Verifier(
            issuer.url, issuer.audience, issuer.api, mode="leased", max_staleness=5, clock=clock, report_interval=600
        )
        for _ in range(50)
    ]
    text = issuer.mint()
    for verifier in verifiers:
        verifier.verify(text)
    server.outage = 503
    clock.move(6)
    for verifier in verifiers:
        for _ in range(20):
            with pytest.raises(Refused):
                verifier.verify(text)
    asked = server.counts["/oauth/introspect"]
    assert asked == 50 + 50 * 3  # three failures in a row, then silence
    waits = sorted(
        verifier._state.judge._introspector._breaker._backoff.next_try - clock.elapsed() for verifier in verifiers
    )
    assert len({round(wait, 3) for wait in waits}) > 25
    server.outage = None
    clock.move(6)

    threads = [threading.Thread(target=verifier.verify, args=(text,)) for verifier in verifiers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    until(lambda: server.counts["/oauth/introspect"] >= asked + 50, "each asked again")
    assert server.counts["/oauth/introspect"] == asked + 50
    for verifier in verifiers:
        verifier.close()
