"""``flask apply``, ``flask export state`` and ``flask sessions explain``."""

import json

import pytest

from tests.support.shell import Shell


@pytest.fixture
def shell(world):
    return Shell(world.app)


def test_what_is_exported_is_applied_without_a_change_also_as_people_see_it(world, shell, tmp_path):
    shell("settings", "set", "default_audience", "https://api.example.com")
    file = tmp_path / "state.yaml"
    file.write_text(shell("export", "state").out, encoding="utf-8")
    assert shell.json("apply", "--file", file, "--prune") == {"dry_run": False, "steps": [], "secrets": []}
    assert "is so already" in shell("apply", "-f", file).out
    exported = shell.json("export", "state")
    assert [each["username"] for each in exported["users"]] == ["ada"]
    assert shell("apply", "-f", "-", "--json", stdin=json.dumps(exported)).json["steps"] == []


def test_a_dry_run_shows_what_dies_and_a_run_does_it(world, shell, tmp_path):
    token = world.access_token()
    assert world.active(token)
    world.store.usage.flush()
    file = tmp_path / "state.yaml"
    file.write_text(
        "users: [{username: ada, roles: [reader, builder]}]\nresource_servers: [{name: new, audience: 'urn:x'}]"
    )
    tried = shell.json("apply", "-f", file, "--dry-run")
    assert [(each["action"], each["ends_tokens"]) for each in tried["steps"]] == [
        ("create_resource_server", 0),
        ("revoke_role", 1),
    ]
    assert world.active(token)
    done = shell.json("apply", "-f", file)
    assert done["steps"] == tried["steps"]
    assert done["secrets"][0]["client_secret"].startswith("acv_")
    assert not world.active(token)
    assert world.accounts.audit_newest(1)[0].actor.startswith("cli:")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("roles: 1", 6),
        ("users: [{username: ada, roles: [none]}]", 3),
        ("{", 6),
        ("settings: {idle_timeout_minutes: 0}", 6),
    ],
)
def test_a_state_that_cannot_be_is_refused_in_one_sentence(world, shell, tmp_path, text, code):
    (tmp_path / "state.yaml").write_text(text)
    records = len(list(world.accounts.audit_records()))
    result = shell("apply", "-f", tmp_path / "state.yaml")
    assert (result.code, result.err.count("\n")) == (code, 1)
    assert len(list(world.accounts.audit_records())) == records
    assert shell("apply", "-f", tmp_path / "none.yaml").code != 0


def test_a_token_is_explained(world, shell):
    token = world.access_token()
    jti = world.introspect(token).json["jti"]
    world.store.usage.flush()
    assert shell.json("sessions", "explain", jti)["state"] == "live"
    world.clock.at += 3600
    document = shell.json("sessions", "explain", jti)
    assert (document["end_reason"], document["owner"]) == ("idle", "ada")
    assert "idle_timeout_minutes" in document["kept_alive_by"]
    assert "idle" in shell("sessions", "explain", jti).out
    assert shell("sessions", "explain", "none").code == 3
