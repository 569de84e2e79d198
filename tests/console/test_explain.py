"""Why a token ended, in the console: told to its owner and to the security team, and to nobody else."""

import base64
import json

import pytest

from authserver.actions import users
from tests.support.console_browser import builder, signed_in


def jti_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]


@pytest.fixture
def ended(world):
    """A token that a change of roles ended; its id."""
    token = world.access_token()
    assert world.active(token)
    world.store.usage.flush()
    world.clock.at += 60
    users.revoke(world.accounts, "ada", "writer", **world.who)
    assert not world.active(token)
    return jti_of(token)


def test_the_owner_is_told_why_and_what_would_have_kept_it_alive(world, ended):
    ada = signed_in(world)
    detail = ada.get(f"/console/credentials/{world.client[0]}")
    assert f"/console/sessions/{ended}" in detail.text
    page = ada.get(f"/console/sessions/{ended}")
    assert "Your roles changed." in page.words
    assert "No change of the owner's roles" in page.words
    assert "user.role_revoked" in page.words
    german = ada.get(f"/console/sessions/{ended}", **{"Accept-Language": "de"})
    assert german.status == 200


def test_a_live_token_is_shown_as_live_and_looking_is_no_use(world):
    token = world.access_token()
    assert world.active(token)
    world.store.usage.flush()
    ada = signed_in(world)
    world.clock.at += 1200
    assert "It lives" in ada.get(f"/console/sessions/{jti_of(token)}").words
    world.clock.at += 700
    assert not world.active(token)


def test_a_foreign_token_looks_like_an_unknown_one(world, ended):
    builder(world, "bob")
    bob = signed_in(world, "bob")
    foreign, unknown = bob.get(f"/console/sessions/{ended}"), bob.get("/console/sessions/none")
    assert foreign.status == unknown.status == 404
    assert foreign.words == unknown.words
    assert bob.get(f"/console/security/sessions/{ended}").status == 403
    assert bob.get("/console/security/explain").status == 403


def test_the_security_team_finds_any_by_its_id(world, ended):
    builder(world, "eve", ("security:view",))
    eve = signed_in(world, "eve")
    assert "jti" in eve.get("/console/security/explain").words
    found = eve.get(f"/console/security/explain?jti={ended}")
    assert found.path == f"/console/security/sessions/{ended}"
    assert "ada" in found.words
    missing = eve.get("/console/security/explain?jti=<b>none")
    assert missing.status == 404
    assert "<b>none" not in missing.text
