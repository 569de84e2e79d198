"""Who must have seen a key before it signs."""

import base64

import pytest

from keys.keyring import State
from tests.keys.life.support import DAY, JWKS, ring
from tests.support.wsgi_client import basic


def fetched(world, server="api", *, by="basic", named=None):
    if by == "basic":
        answer = world.http.get(JWKS, headers={"Authorization": basic(*world.api)})
    else:
        answer = world.http.get(f"{JWKS}?jwks_client={named}")
    assert answer.status_code == 200
    world.store.jwks_fetchers.flush()


@pytest.mark.parametrize("by", ["basic", "name"])
def test_a_rotation_waits_for_a_known_verifier_until_the_deadline(world, shell, by):
    named = shell.json("resource-servers", "jwks-client", "api")["jwks_client"]
    fetched(world, by=by, named=named)
    shell.json("keys", "rotate")
    (new,) = ring(world, State.STAGED)
    world.clock.at += DAY
    result = shell("keys", "rotate")
    assert (result.code, "api has not fetched" in result.err, "--force" in result.err) == (4, True, True)
    shown = shell.json("keys", "readiness")
    assert (shown["kid"], shown["seen"], shown["known"], shown["ready"]) == (new, 0, 1, False)
    assert "0 of 1 have seen" in shell("keys", "readiness").out
    assert "api last fetched 24 hours ago" in shell("keys", "readiness").out
    fetched(world, by=by, named=named)
    shown = shell.json("keys", "readiness")
    assert (shown["seen"], shown["ready"]) == (1, True)
    assert shell.json("keys", "rotate")["kid"] == new
    # The next one, which it never fetches, waits for a week more and then goes on.
    shell.json("keys", "rotate")
    world.clock.at += DAY + 7 * DAY - 1
    assert shell("keys", "rotate").code == 4
    world.clock.at += 1
    assert shell.json("keys", "rotate")["state"] == "active"


def test_a_verifier_that_was_never_known_or_not_for_long_is_not_waited_for(world, shell):
    shell.json("keys", "rotate")
    world.clock.at += DAY
    assert shell.json("keys", "readiness")["verifiers"][0]["seen"] == "unknown"
    assert shell.json("keys", "rotate")["state"] == "active"
    fetched(world)
    world.clock.at += 31 * DAY
    shell.json("keys", "rotate")
    world.clock.at += DAY
    assert shell.json("keys", "rotate")["state"] == "active"


def test_fetches_are_written_in_batches_and_agents_are_bounded(world):
    from authserver.store.signing_keys.jwks_fetchers import MAX_AGENTS
    from tests.support.stores import Statements

    counted = Statements(world.store.engine)
    for number in range(3 * MAX_AGENTS):
        world.http.get(JWKS, headers={"User-Agent": f"robot/{number} (x; y)"})
    for _ in range(5):
        world.http.get(JWKS, headers={"User-Agent": "robot/0"})
    world.http.get(JWKS, headers={"User-Agent": "\x00é"})
    assert not [text for text in counted.texts if "jwks_verifiers" in text]
    world.store.jwks_fetchers.flush()
    for number in range(1000, 1000 + MAX_AGENTS):
        world.http.get(JWKS, headers={"User-Agent": f"robot/{number}"})
    world.store.jwks_fetchers.flush()
    known = world.store.jwks_fetchers.all()
    assert len(known) <= MAX_AGENTS + 1
    assert sum(each.fetches for each in known) == 4 * MAX_AGENTS + 6
    assert next(each.fetches for each in known if each.name == "robot/0") == 6


@pytest.mark.parametrize(
    "header", ["Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"a:b").decode(), "Basic " + "A" * 9000]
)
def test_whoever_says_a_wrong_name_gets_the_same_answer_and_counts_as_nobody(world, header):
    wrong = basic(world.api[0], world.api[1][:-1] + ("A" if world.api[1][-1] != "A" else "B"))
    bodies = {world.http.get(JWKS, headers={"Authorization": each}).data for each in (header, wrong)}
    bodies.add(world.http.get(JWKS).data)
    bodies |= {world.http.get(f"{JWKS}?jwks_client={each}").data for each in ("x", "A" * 22, "A" * 900, "%ff")}
    assert len(bodies) == 1
    world.store.jwks_fetchers.flush()
    assert {each.kind for each in world.store.jwks_fetchers.all()} == {"agent"}
