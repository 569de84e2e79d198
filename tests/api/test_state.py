"""Desired state: exported, applied by a function and by the API, all or nothing, again without effect."""

import pytest

from authserver.desired_state.apply import apply, export
from authserver.desired_state.document import StateDocument, read, write
from authserver.ports.errors import Conflict, Invalid, NotFound
from tests.support.api_client import problem


def applied(world, text, *, prune=False, dry_run=False):
    return apply(world.store, read(text.encode()), prune=prune, dry_run=dry_run, **world.who)


def steps(done):
    return [(each.action, each.target) for each in done.steps]


def test_what_is_exported_is_so_already(world):
    text = write(export(world.accounts))
    assert steps(applied(world, text)) == []
    assert steps(applied(world, text, prune=True)) == []
    assert write(export(world.accounts)) == text
    assert "acs_" not in text
    assert "acv_" not in text
    records = len(list(world.accounts.audit_records()))
    applied(world, text)
    assert len(list(world.accounts.audit_records())) == records


STATE = """
roles:
  - {name: report, kind: operational}
  - {name: seen, kind: builder, permissions: ["security:view"]}
users:
  - {username: grace, roles: [report, seen]}
  - {username: linus, roles: [report], disabled: true}
resource_servers:
  - {name: reports, audience: "https://reports.example", max_staleness: 30, token_typ: JWT}
settings:
  max_credential_days: 100
  default_audience: https://reports.example
"""


def test_a_state_is_made_so_and_a_second_time_changes_nothing(world):
    tried = applied(world, STATE, dry_run=True)
    assert len(tried.steps) == 9
    assert tried.secrets == {}
    assert "grace" not in {each.username for each in world.accounts.users()}
    done = applied(world, STATE)
    assert steps(done) == steps(tried)
    client_id, secret = done.secrets["reports"]
    token = world.access_token(resource="https://reports.example")
    assert world.introspect(token, (client_id, secret)).json["active"]
    assert world.accounts.general().default_audience == "https://reports.example"
    assert world.accounts.user("linus").disabled_at is not None
    assert steps(applied(world, STATE)) == []
    assert world.accounts.audit_verify().fault == ""
    events = [each.event for each in world.accounts.audit_newest(10)]
    assert (events[0], set(events[1:])) == (
        "state.applied",
        {
            "role.created", "resource_server.created", "resource_server.edited",
            "user.created", "user.disabled", "settings.changed",
        },
    )  # fmt: skip
    applied(world, "settings: {default_audience: null}")


def test_what_an_api_requires_is_part_of_the_state_and_left_alone_where_it_is_not_named(world):
    text = "resource_servers: [{name: strict, audience: 'urn:strict', requires: [bound, key]}]"
    assert [each.values for each in applied(world, text).steps][-1] == {"requires": ["bound", "key"]}
    assert steps(applied(world, text)) == []
    assert steps(applied(world, text.replace(", requires: [bound, key]", ""))) == []
    strict = next(each for each in export(world.accounts).resource_servers if each.name == "strict")
    assert strict.requires == ["key", "bound"]
    with pytest.raises(Invalid):
        applied(world, text.replace("bound", "luck"))
    assert len(applied(world, text.replace("[bound, key]", "[]")).steps) == 1


def test_what_dies_is_shown_and_dies(world):
    applied(world, "roles: [{name: temp, kind: operational}]\nusers: [{username: tim, roles: [reader, temp]}]")
    client = world.credential("tim", ["reader", "temp"])
    token = world.access_token(client, resource="https://api.example.com")
    assert world.active(token)
    world.store.usage.flush()
    less = "users: [{username: TIM, roles: [reader]}]"
    assert [each.ends for each in applied(world, less, dry_run=True).steps] == [1]
    assert world.active(token)
    assert [each.ends for each in applied(world, less).steps] == [1]
    assert not world.active(token)
    off = f"credentials: [{{client_id: {client[0]}, name: renamed, expires_at: 2027-02-01T00:00:00Z, disabled: true}}]"
    assert steps(applied(world, off)) == [("edit_credential", client[0]), ("disable_credential", client[0])]
    assert world.token(client).status_code == 401


def test_all_or_nothing(world):
    before = write(export(world.accounts))
    records = len(list(world.accounts.audit_records()))
    for text, error in (
        ("roles: [{name: new1, kind: operational}]\nusers: [{username: x1, roles: [nothing]}]", NotFound),
        ("roles: [{name: new1, kind: operational}]\nsettings: {max_credential_days: 0}", Invalid),
        ("roles: [{name: new1, kind: operational}]\nusers: [{username: ada, roles: [builder]}]", Invalid),
        ("users: [{username: x1, roles: [reader]}, {username: X1, roles: [reader]}]", Invalid),
        ("roles: [{name: reader, kind: builder}]", Invalid),
        ("resource_servers: [{name: api, audience: https://other.example}]", Invalid),
        ("settings: {nothing: 1}", Invalid),
        ("settings: {token_alg: 1}", Invalid),
        ("credentials: [{client_id: x, name: x, expires_at: 2027-02-01T00:00:00Z}]", NotFound),
    ):
        for dry_run in (True, False):
            with pytest.raises(error):
                applied(world, text, dry_run=dry_run)
    with pytest.raises(Conflict):
        applied(world, "roles: [{name: reader, kind: operational}]", prune=True)
    assert write(export(world.accounts)) == before
    assert len(list(world.accounts.audit_records())) == records


@pytest.mark.parametrize("text", [
    "a: &x [1]\nb: *x", "roles: []\nroles: []", "version: 2", "roles: 7", "- 1", "users: [{username: x}]", "\ttab",
    "users: [{username: x, roles: [reader], password: y}]", "{", "secret: x", "settings: {idle_timeout_minutes: 1.5}",
    "credentials: [{client_id: x, name: x, expires_at: 2027-13-01T00:00:00Z}]", "!!python/object:os.system {}", "\x00",
    "a: " + "[" * 5000,
])  # fmt: skip
def test_a_file_that_is_no_state_is_refused(text):
    with pytest.raises(Invalid):
        read(text.encode())
    with pytest.raises(Invalid):
        read(b"#" * (4 * 1024 * 1024 + 1))


def test_an_empty_file_touches_nothing():
    assert read(b"") == StateDocument()


def test_the_same_by_the_api_with_the_state_that_was_read(world):
    read_now = world.root.get("/state")
    assert read_now.status_code == 200
    again = world.root("PUT", "/state", read_now.json, If_Match=read_now.headers["ETag"])
    assert again.json == {"dry_run": False, "steps": [], "secrets": []}
    body = {"roles": [{"name": f"r{world.clock.at}", "kind": "operational"}]}
    tried = world.root("PUT", "/state", body, query={"dry_run": "true"}, If_Match=read_now.headers["ETag"])
    assert [each["action"] for each in tried.json["steps"]] == ["create_role"]
    done = world.root("PUT", "/state", body, If_Match=read_now.headers["ETag"])
    assert done.json["steps"] == tried.json["steps"]
    problem(world.root("PUT", "/state", body, If_Match=read_now.headers["ETag"]), 412, "precondition_failed")
    problem(world.root("PUT", "/state", body), 428, "precondition_required")
    problem(world.root("PUT", "/state", {"secrets": []}, If_Match="*"), 400, "invalid_request")
    alone = {"users": [{"username": "ada", "roles": ["reader", "writer", "builder"]}]}
    refused = world.root("PUT", "/state", alone, query={"prune": "true"}, If_Match="*")
    problem(refused, 409, "conflict")
    assert "users:manage" in world.root.read("/me")["permissions"]
