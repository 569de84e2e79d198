"""Why a token ended: told to its owner and the security team, and never in the public answer."""

import pytest

from authserver.actions import credentials as credential_actions
from authserver.actions import users as user_actions
from authserver.rules.facts import Reason
from authserver.rules.liveness import KEPT_ALIVE
from tests.support.api_client import problem


@pytest.fixture
def token(world):
    """A token that lives, with its id."""
    client = world.credential()
    text = world.access_token(client, resource="https://api.example.com")
    jti = world.introspect(text).json["jti"]
    world.store.usage.flush()
    return client[0], text, jti


def test_a_token_that_lives_needs_no_explanation(world, token):
    document = world.ada.read(f"/sessions/{token[2]}")
    assert (document["session"]["live"], document["kept_alive_by"], document["events"]) == (True, None, [])
    assert token[1] not in world.ada.get(f"/sessions/{token[2]}").text


def test_each_end_is_told_with_its_reason_what_happened_and_what_would_have_helped(world, token):
    _client_id, text, jti = token
    user_actions.grant(world.accounts, "ada", "users:manage", **world.who)
    assert world.introspect(text).data == b'{"active":false}'
    world.ada.renew()
    document = world.ada.read(f"/sessions/{jti}")
    assert document["session"]["end_reason"] == Reason.ROLES_CHANGED
    assert "user.role_granted" in {each["event"] for each in document["events"]}
    assert "roles" in document["kept_alive_by"]
    assert world.root.read(f"/inventory/sessions/{jti}") == document
    user_actions.revoke(world.accounts, "ada", "users:manage", **world.who)
    world.ada.renew()


def test_an_idle_token_died_at_the_instant_of_its_timeout_also_when_nobody_asked(world, token):
    began = world.clock.at
    world.clock.at += 7 * 3600
    for each in (world.root, world.ada):
        each.renew()
    document = world.ada.read(f"/sessions/{token[2]}")
    assert document["session"]["end_reason"] == Reason.IDLE
    from authserver.api.schemas import iso

    assert document["session"]["ended_at"] == iso(began + 30 * 60)
    assert "idle_timeout_minutes" in document["kept_alive_by"]


def test_a_foreign_and_an_unknown_session_are_alike(world, token):
    mine = world.api_client("root", ["reader", "builder"])
    foreign, unknown = mine.get(f"/sessions/{token[2]}"), mine.get("/sessions/none")
    problem(foreign, 404, "not_found")
    assert foreign.data == unknown.data
    credential_actions.delete(world.accounts, token[0], **world.who)
    problem(world.ada.get(f"/sessions/{token[2]}"), 404, "not_found")
    problem(world.ada.get("/sessions/%00"), 404, "not_found")


def test_every_reason_says_what_would_have_kept_the_token_alive():
    assert set(KEPT_ALIVE) == set(Reason)
    assert all(text.endswith(".") for text in KEPT_ALIVE.values())
