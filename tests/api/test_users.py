"""Users, roles and assignments by the API: what they end is shown first, and nobody loses the last administrator."""

import pytest

from authserver.actions import users as user_actions
from authserver.api.resources.roles import Permission
from authserver.rules.permission import PERMISSIONS
from tests.support.api_client import problem


def make(world, *roles):
    name = f"user{len(world.accounts.users())}"
    answer = world.root("POST", "/users", {"username": name, "roles": list(roles or ["reader"])})
    assert answer.status_code == 201, answer.text
    return name


def role_id(world, name):
    return next(each.id for each in world.accounts.roles() if each.name == name)


def test_the_life_of_a_user(world):
    name = make(world, "reader", "builder")
    path = f"/users/{name}"
    shown = world.root.get(path)
    assert [each["name"] for each in shown.json["roles"]] == ["builder", "reader"]
    assert world.root.get(path.upper().replace("/USERS/", "/users/")).json == shown.json
    client = world.credential(name, ["reader"])
    token = world.access_token(client)
    assert world.active(token)
    world.store.usage.flush()
    assert world.root.read(f"{path}/preview", change="disable")["live_tokens"] == 1
    disabled = world.root.edit("POST", f"{path}/disable", of=path)
    assert disabled.json["disabled_at"] is not None
    assert not world.active(token)
    problem(world.root.edit("POST", f"{path}/disable", of=path), 409, "conflict")
    assert world.root.edit("POST", f"{path}/enable", of=path).json["disabled_at"] is None
    assert not world.active(token)
    assert world.token(client).status_code == 200
    last = world.accounts.audit_newest(1, target=name)[0]
    assert (last.event, last.actor) == ("user.enabled", "api:root")


def test_assignments_show_what_dies_and_end_it(world):
    name = make(world, "reader", "writer")
    path = f"/users/{name}"
    client = world.credential(name, ["reader", "writer"])
    token = world.access_token(client)
    assert world.active(token)
    world.store.usage.flush()
    document = world.root.read(f"{path}/preview", change="revoke", role="writer")
    assert [(each["lost_roles"], each["left_roles"], each["live_tokens"]) for each in document["losses"]] == [
        (["writer"], ["reader"], 1)
    ]
    assert world.root.read(f"{path}/preview", change="grant")["live_tokens"] == 1
    assert world.active(token)
    after = world.root.edit("DELETE", f"{path}/roles/{role_id(world, 'writer')}", of=path)
    assert [each["name"] for each in after.json["roles"]] == ["reader"]
    assert not world.active(token)
    problem(world.root.edit("DELETE", f"{path}/roles/{role_id(world, 'writer')}", of=path), 409, "conflict")
    problem(world.root.edit("DELETE", f"{path}/roles/{role_id(world, 'reader')}", of=path), 400, "invalid")
    problem(world.root.edit("DELETE", f"{path}/roles/rol_none", of=path), 404, "not_found")
    granted = world.root.edit("POST", f"{path}/roles", {"role": "writer"}, of=path)
    assert granted.json["role_version"] == after.json["role_version"] + 1
    problem(world.root.edit("POST", f"{path}/roles", {"role": "writer"}, of=path), 409, "conflict")
    problem(world.root.edit("POST", f"{path}/roles", {"role": "none"}, of=path), 404, "not_found")
    problem(world.root.get(f"{path}/preview", change="revoke"), 400, "invalid")
    problem(world.root.get(f"{path}/preview", change="explode"), 400, "invalid_request")
    problem(world.root("POST", f"{path}/roles", {"role": "builder"}), 428, "precondition_required")
    problem(world.root("POST", f"{path}/roles", {"role": "builder"}, If_Match='"x"'), 412, "precondition_failed")


def test_lists_in_parts_narrowed_and_sorted(world):
    for _ in range(3):
        make(world)
    whole = [each["username"] for each in world.root.read("/users", limit=200)["items"]]
    found, query = [], {"limit": 2}
    while True:
        part = world.root.read("/users", **query)
        found += [each["username"] for each in part["items"]]
        if part["next_cursor"] is None:
            break
        query["cursor"] = part["next_cursor"]
    assert found == whole == sorted(whole, key=str.casefold)
    assert [each["username"] for each in world.root.read("/users", q="ROO")["items"]] == ["root"]
    assert [each["username"] for each in world.root.read("/users", role="users:manage")["items"]] == ["root"]
    roles, query = [], {"limit": 3}
    while True:
        part = world.root.read("/roles", **query)
        roles += [each["name"] for each in part["items"]]
        if part["next_cursor"] is None:
            break
        query["cursor"] = part["next_cursor"]
    assert roles == sorted(each.name for each in world.accounts.roles())


def test_roles_are_made_once_and_deleted_after_a_look(world):
    body = {"name": f"r{len(world.accounts.roles())}", "kind": "operational"}
    made = world.root("POST", "/roles", body, Idempotency_Key="roles-1" + body["name"])
    again = world.root("POST", "/roles", body, Idempotency_Key="roles-1" + body["name"])
    assert (made.status_code, again.json, again.headers["Idempotency-Replayed"]) == (201, made.json, "true")
    problem(world.root("POST", "/roles", body), 409, "conflict")
    name = make(world, "reader", body["name"])
    path = f"/roles/{made.json['id']}"
    assert world.root.read(path)["holders"] == 1
    assert world.root.read(f"{path}/preview")["users"] == 1
    assert world.root.edit("DELETE", path).status_code == 204
    problem(world.root.get(path), 404, "not_found")
    problem(world.root("DELETE", path, If_Match="*"), 404, "not_found")
    assert [each["name"] for each in world.root.read(f"/users/{name}")["roles"]] == ["reader"]
    # The same name again is another role: the old id stays gone.
    assert world.root("POST", "/roles", body).json["id"] != made.json["id"]
    problem(world.root("DELETE", path, If_Match="*"), 404, "not_found")
    for bad in (
        {"name": "a b", "kind": "operational"},
        {"name": "x", "kind": "other"},
        {"name": "x", "kind": "operational", "permissions": ["users:manage"]},
        {"name": "x", "kind": "builder", "permissions": ["everything"]},
        {"name": "x", "kind": "builder", "id": "rol_x"},
    ):
        assert world.root("POST", "/roles", bad).status_code == 400, bad
    assert set(Permission.__args__) == set(PERMISSIONS)


def test_nobody_disables_oneself_or_takes_the_last_administrator_away(world):
    problem(world.root.edit("POST", "/users/root/disable", of="/users/root"), 409, "conflict")
    managing = role_id(world, "users:manage")
    problem(world.root.edit("DELETE", f"/users/root/roles/{managing}", of="/users/root"), 409, "conflict")
    problem(world.root.edit("DELETE", f"/roles/{managing}"), 409, "conflict")
    assert "users:manage" in world.root.read("/me")["permissions"]


def test_a_login_link_opens_the_console_once_and_never_for_more_than_the_token_has(world):
    name = make(world, "reader", "builder")
    made = world.root("POST", f"/users/{name}/login-links", Idempotency_Key=f"link-{name}")
    again = world.root("POST", f"/users/{name}/login-links", Idempotency_Key=f"link-{name}")
    assert (again.json["url"], again.headers["Idempotency-Replayed"]) == (None, "true")
    assert made.status_code == 201
    code = made.json["url"].rpartition("/")[2]
    assert world.http.get(made.json["url"].removeprefix("http://127.0.0.1:8000")).status_code == 200
    assert code not in str([each.detail for each in world.accounts.audit_newest(5)])
    plain = make(world, "reader")
    problem(world.root("POST", f"/users/{plain}/login-links"), 400, "invalid")
    user_actions.grant(world.accounts, name, "keys:manage", **world.who)
    narrow = world.with_permissions(["users:manage"])
    problem(narrow("POST", f"/users/{name}/login-links"), 403, "insufficient_scope")


@pytest.mark.parametrize("body", [
    {"username": "a b", "roles": ["reader"]}, {"username": "", "roles": ["reader"]},
    {"username": "x", "roles": []}, {"username": "x", "roles": ["builder"]}, {"username": "x"},
    {"username": "x", "roles": ["reader"], "password_hash": "x"}, {"username": "x", "roles": ["reader"], "id": "usr_1"},
    {"username": "x\0", "roles": ["reader"]}, {"username": None, "roles": ["reader"]},
])  # fmt: skip
def test_users_that_cannot_be_are_refused(world, body):
    before = len(world.accounts.users())
    assert world.root("POST", "/users", body).status_code == 400
    assert len(world.accounts.users()) == before


def test_an_unknown_user_and_role_are_not_found_everywhere(world):
    for method, path, body in (
        ("GET", "/users/nobody", None),
        ("POST", "/users/nobody/disable", None),
        ("POST", "/users/nobody/enable", None),
        ("GET", "/users/nobody/preview?change=grant", None),
        ("POST", "/users/nobody/roles", {"role": "reader"}),
        ("DELETE", "/users/nobody/roles/x", None),
        ("POST", "/users/nobody/login-links", None),
        ("GET", "/users/%00", None),
        ("GET", "/roles/%00", None),
        ("GET", "/roles/x/preview", None),
    ):
        problem(world.root(method, path, body, If_Match="*"), 404, "not_found")
