"""Two hundred verifiers and one server that they cannot reach for longer than S.

Each fails closed from S on, spares the server while it is away, and comes back by itself: at a moment of its own, and
with one question for all who call with the same token.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from resource_server import Unavailable, Verifier
from tests.resource_server.real import AUDIENCE

S = 6
EACH_MODE = 100
CALLERS = 4
"""Calls at once with the same token at one verifier."""

DEADLINE = 60
"""Seconds; deadline of each wait."""


class Wire(httpx.BaseTransport):
    """The way of one verifier to the server, which all verifiers lose at once."""

    def __init__(self, network, name):
        self._network, self._name, self._way = network, name, httpx.HTTPTransport()

    def handle_request(self, request):
        return self._network.forward(self._name, request, self._way)

    def close(self):
        self._way.close()


class Network:
    """Counts who asks what, and how many questions of one verifier are under way."""

    def __init__(self):
        self.cut = False
        self._lock = threading.Lock()
        self.tried = Counter()
        self.asked = []
        self._under_way = Counter()
        self.most_under_way = Counter()

    def forward(self, name, request, way):
        introspection = request.url.path.endswith("/introspect")
        with self._lock:
            if self.cut:
                self.tried[name] += 1
                msg = "cut"
                raise httpx.ConnectError(msg)
            if introspection:
                self.asked.append((time.monotonic(), name))
                self._under_way[name] += 1
                self.most_under_way[name] = max(self.most_under_way[name], self._under_way[name])
        try:
            return way.handle_request(request)
        finally:
            with self._lock:
                self._under_way[name] -= introspection


@pytest.fixture(scope="module")
def network():
    return Network()


@pytest.fixture(scope="module")
def verifiers(real, network):
    real.flask("resource-servers", "edit", "api", "--max-staleness", str(S))
    made = {
        (mode, number): Verifier(
            *(real.issuer, AUDIENCE, real.api),
            mode=mode,
            max_staleness=S,
            report_interval=60,
            transport=Wire(network, (mode, number)),
        )
        for mode in ("leased", "feed")
        for number in range(EACH_MODE)
    }
    yield made
    network.cut = True  # nothing is worth reporting any more
    for each in made.values():
        each.close()
    real.flask("resource-servers", "edit", "api", "--max-staleness", "0")


def served(verifier, text):
    try:
        verifier.verify(text)
    except Unavailable:
        return False
    return True


def until_served(verifier, text):
    """Call as an API whose callers try again; when it was served."""
    end = time.monotonic() + DEADLINE
    while not served(verifier, text):
        assert time.monotonic() < end, "it did not recover"
        time.sleep(0.05)
    return time.monotonic()


def test_INV_25_two_hundred_verifiers_fail_closed_and_recover_one_by_one(real, network, verifiers):
    text = real.token()
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda each: until_served(each, text), verifiers.values()))

        network.cut, cut = True, time.monotonic()
        time.sleep(S + 0.5)
        while time.monotonic() < cut + S + 6:  # callers keep trying
            assert not any(pool.map(lambda each: served(each, text), verifiers.values()))
            time.sleep(0.2)
        away = time.monotonic() - cut
        # Waits double: nobody hammers, however often it is called.
        assert max(network.tried.values()) <= 3 * CALLERS + away
        assert len(network.tried) == len(verifiers)

        before, network.cut = len(network.asked), False
        back = time.monotonic()
        network.most_under_way.clear()
    with ThreadPoolExecutor(len(verifiers) * CALLERS) as pool:
        every = [(name, each) for name, each in verifiers.items() for _ in range(CALLERS)]
        recovered = list(pool.map(lambda one: (one[0], until_served(one[1], text) - back), every))
    first = {name: min(at for who, at in recovered if who == name) for name in verifiers}

    # One question for all callers of a verifier at a time, and about one for each verifier altogether.
    assert max(network.most_under_way.values()) == 1
    assert len(network.asked) - before <= 2 * len(verifiers)
    # At moments of their own: of those that follow the gate no half second holds most.
    leased = Counter(int(first[name] / 0.5) for name in verifiers if name[0] == "leased")
    assert max(leased.values()) < 0.8 * EACH_MODE
    assert len(leased) >= 3
