"""Fixtures of the package for resource servers."""

import time

import pytest

from resource_server import InvalidToken, Unavailable, Verifier
from resource_server.kit.issuer import Issuer
from resource_server.kit.server import served
from tests.resource_server import real as servers

DEADLINE = 20


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """One real server for all; who changes it puts it back."""
    with servers.started(tmp_path_factory.mktemp("real")) as running:
        yield running


class HandClock:
    """Both clocks; they move only when told, together or apart."""

    def __init__(self):
        self.at, self.step, self.passed = float(int(time.time())), 0.0, 1000.0

    def move(self, seconds):
        self.at += seconds
        self.passed += seconds

    def true(self):
        """The time of a server whose clock nobody steps."""
        return self.at

    def wall(self):
        return self.at + self.step

    def elapsed(self):
        return self.passed


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def issuer(clock):
    return Issuer(clock=clock.true)


@pytest.fixture
def server(issuer):
    with served(issuer) as running:
        yield running


@pytest.fixture
def verifier_of(server, issuer, clock):
    """Makes verifiers of the throw-away issuer; they are closed at the end."""
    made = []

    def make(kind=Verifier, **options):
        options = {"clock": clock, "report_interval": 600, **options}
        made.append(kind(issuer.url, issuer.audience, issuer.api, **options))
        return made[-1]

    yield make
    server.outage = None
    for each in made:
        if isinstance(each, Verifier):
            each.close()


def refused(verifier, text, kind=InvalidToken):
    """Why a token is refused."""
    with pytest.raises(kind) as caught:
        verifier.verify(text)
    return caught.value.reason


def unavailable(verifier, text):
    return refused(verifier, text, Unavailable)


def until(condition, what):
    """Wait for another thread or process."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"after {DEADLINE} s: {what}"
        time.sleep(0.01)
