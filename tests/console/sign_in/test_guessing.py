"""Wrong passwords make the next attempt wait."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from authserver.console.sign_in.login_throttle import (
    FREE_ATTEMPTS,
    FREE_ATTEMPTS_PER_ADDRESS,
    MAX_WAIT,
    NAME_UNDER_ATTACK_FAILURES,
    LoginThrottle,
)
from authserver.ports.sign_in import ATTEMPTS_FORGOTTEN
from authserver.store.factory import open_store
from tests.console.sign_in.support import kept, somebody
from tests.support.console_browser import PASSWORD, Browser


def test_guessing_waits_and_nobody_is_locked_out(site):
    name, guesser, owner = somebody(site), Browser(site), Browser(site, "127.0.0.2")
    for _ in range(FREE_ATTEMPTS):
        assert guesser.sign_in(name, "wrong password").status == 401
    assert guesser.sign_in(name, "wrong password").status == 429
    late = guesser.sign_in(name, PASSWORD)
    assert late.status == 429
    assert late.answer.headers["Retry-After"] == "1"
    assert "Wait 1 second" in late.words
    assert owner.sign_in(name).path == "/console/credentials"
    site.clock.at += 1
    assert guesser.sign_in(name).path == "/console/credentials"


class Guessing:
    """Tries at an instant that is moved by hand."""

    def __init__(self, site):
        self.store, self.at = site.store, 1_900_000_000

    def begin(self, name, peer):
        return LoginThrottle(self.store.login_attempts, self.store.pepper, self.at).begin(name, peer)

    def succeeded(self, name, peer):
        LoginThrottle(self.store.login_attempts, self.store.pepper, self.at).succeeded(name, peer)


@pytest.fixture
def guessing(site):
    return Guessing(site)


def test_an_address_does_not_hold_up_another(guessing):
    waited = [guessing.begin("ada", "192.0.2.1") for _ in range(FREE_ATTEMPTS + 1)]
    assert waited == [0] * FREE_ATTEMPTS + [1]
    assert guessing.begin("ada", "192.0.2.2") == 0
    assert guessing.begin(" \uff21\uff24\uff21\u200b", "192.0.2.1") == 1
    assert guessing.begin("ada", "::ffff:192.0.2.1") == 1
    assert guessing.begin("bob", "192.0.2.1") == 0


def test_waits_grow_to_a_minute_and_are_forgotten(guessing):
    waits = []
    for _ in range(FREE_ATTEMPTS + 12):
        wait = guessing.begin("ada", "192.0.2.1")
        waits.append(wait)
        guessing.at += wait
        if wait:
            assert guessing.begin("ada", "192.0.2.1") == 0
    assert waits[FREE_ATTEMPTS : FREE_ATTEMPTS + 4] == [1, 2, 4, 8]
    assert max(waits) == MAX_WAIT
    guessing.at += ATTEMPTS_FORGOTTEN + 1
    assert [guessing.begin("ada", "192.0.2.1") for _ in range(FREE_ATTEMPTS + 1)] == [0] * FREE_ATTEMPTS + [1]


def test_a_right_password_takes_the_try_back(guessing):
    for _ in range(60):
        assert guessing.begin("ada", "192.0.2.1") == 0
        guessing.succeeded("ada", "192.0.2.1")


def test_one_address_with_many_names_waits_and_leaves_nothing_more_behind(site, guessing):
    waited = [guessing.begin(f"user{number}", "192.0.2.1") for number in range(FREE_ATTEMPTS_PER_ADDRESS)]
    assert waited == [0] * FREE_ATTEMPTS_PER_ADDRESS
    before = kept(site)
    assert all(guessing.begin(f"more{number}", "192.0.2.1") for number in range(100))
    assert kept(site) == before
    assert site.store.login_attempts.sweep(guessing.at) == 0
    assert site.store.login_attempts.sweep(guessing.at + 1) == len(before)


def test_a_name_under_attack_from_everywhere_gives_each_address_one_try(guessing):
    for number in range(NAME_UNDER_ATTACK_FAILURES):
        assert guessing.begin("ada", f"198.51.100.{number}") == 0
    assert [guessing.begin("ada", "192.0.2.1") for _ in range(2)] == [0, 1]


def test_no_name_and_no_address_can_be_told_from_what_is_kept(site, guessing):
    # A name that no hexadecimal hash can spell by chance.
    guessing.begin("zoë.quill", "192.0.2.1")
    told = str(kept(site))
    assert told.count("1900000000") == 3
    assert "quill" not in told
    assert "192.0.2.1" not in told
    assert hashlib.sha256("zoë.quill".encode()).hexdigest() not in told


def test_many_tries_at_once_on_many_nodes_are_counted_before_they_are_judged(site):
    nodes = [open_store(site.store.engine, site.services.master(), site.clock, background=False) for _ in range(2)]

    def one(number):
        store = nodes[number % 2]
        return LoginThrottle(store.login_attempts, store.pepper, 1_900_000_000).begin("ada", "192.0.2.1")

    with ThreadPoolExecutor(8) as pool:
        let_in = list(pool.map(one, range(64))).count(0)
    assert let_in == FREE_ATTEMPTS
