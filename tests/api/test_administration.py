"""Resource servers, settings, signing keys, audit and inventory by the API."""

import json

import pytest

from authserver.audit import canonical
from authserver.audit_export.checkpoints import take
from authserver.audit_export.lines import read
from authserver.audit_export.offline import read_checkpoints, verify_export
from tests.support.api_client import AUDIENCE, problem

_numbers = iter(range(10_000))


def register(world, **more):
    number = next(_numbers)
    body = {"name": f"api {number}", "audience": f"https://api{number}.example", **more}
    answer = world.root("POST", "/resource-servers", body)
    assert answer.status_code == 201, answer.text
    return answer.json


def test_the_life_of_a_resource_server(world):
    made = register(world)
    path = f"/resource-servers/{made['id']}"
    token = world.access_token(resource=made["audience"])
    assert world.introspect(token, (made["client_id"], made["client_secret"])).json["active"]
    assert "client_secret" not in world.root.read(path)
    assert made["client_secret"] not in world.root.get("/resource-servers").text
    again = world.root("POST", f"{path}/secrets")
    assert again.status_code == 201
    assert world.introspect(token, (made["client_id"], made["client_secret"])).status_code == 401
    assert world.introspect(token, (made["client_id"], again.json["client_secret"])).json["active"]
    assert world.root.edit("PATCH", path, {"max_staleness": 30}).json["max_staleness"] == 30
    problem(world.root.edit("PATCH", path, {"max_staleness": 30}), 409, "conflict")
    assert world.root.edit("PATCH", path, {"token_alg": "ES256"}).json["token_alg"] == "ES256"
    assert world.root.edit("PATCH", path, {"token_alg": None}).json["token_alg"] is None
    assert world.root.edit("PATCH", path, {"token_typ": "JWT"}).json["token_typ"] == "JWT"
    assert world.root.edit("PATCH", path, {"token_typ": "at+jwt"}).json["token_typ"] == "at+jwt"
    read = world.root.get(path)
    assert read.json["requires"] == []
    assert world.root.edit("PATCH", path, {"requires": ["bound", "key"]}).json["requires"] == ["key", "bound"]
    problem(world.root("PATCH", path, {"max_staleness": 9}, If_Match=read.headers["ETag"]), 412, "precondition_failed")
    problem(world.root.edit("PATCH", path, {"requires": ["luck"]}), 400, "invalid")
    problem(world.root.edit("PATCH", path, {"requires": ["key", "bound"]}), 409, "conflict")
    assert world.root.edit("PATCH", path, {"requires": []}).json["requires"] == []
    problem(world.root.edit("PATCH", path, {"token_typ": "x"}), 400, "invalid")
    problem(world.root.edit("PATCH", path, {"token_alg": "RS256"}), 409, "conflict")
    problem(world.root.edit("PATCH", path, {"token_alg": "none"}), 400, "invalid")
    problem(world.root.edit("PATCH", path, {}), 400, "invalid")
    problem(world.root.edit("PATCH", path, {"token_alg": None, "max_staleness": 1}), 400, "invalid")
    problem(world.root.edit("PATCH", path, {"audience": "https://other.example"}), 400, "invalid_request")
    disabled = world.root.edit("POST", f"{path}/disable", of=path)
    assert disabled.json["disabled_at"] is not None
    assert world.token(resource=made["audience"]).status_code == 400
    problem(world.root.edit("POST", f"{path}/disable", of=path), 409, "conflict")
    assert world.root.edit("POST", f"{path}/enable", of=path).json["disabled_at"] is None
    assert world.token(resource=made["audience"]).status_code == 200


def test_a_name_or_audience_is_taken_once_and_a_key_makes_one(world):
    made = register(world)
    for body in (
        {"name": made["name"], "audience": "https://free.example"},
        {"name": "free", "audience": made["audience"]},
    ):
        problem(world.root("POST", "/resource-servers", body), 409, "conflict")
    for body in (
        {"name": "x", "audience": "no uri"},
        {"name": "x", "audience": "https://x.example#f"},
        {"name": "x\n", "audience": "https://x.example"},
        {"name": "x", "audience": "https://x.example", "token_alg": "none"},
        {"name": "x", "audience": "https://x.example", "purpose": "api"},
        {"name": "x", "audience": "https://x.example", "client_secret": "x"},
    ):
        assert world.root("POST", "/resource-servers", body).status_code == 400, body
    body = {"name": "keyed", "audience": "https://keyed.example"}
    first = world.root("POST", "/resource-servers", body, Idempotency_Key="rs")
    again = world.root("POST", "/resource-servers", body, Idempotency_Key="rs")
    assert again.json == {**first.json, "client_secret": None}


def test_the_management_api_has_no_secret_to_hand_out(world):
    mine = next(each for each in world.root.read("/resource-servers")["items"] if each["audience"] == AUDIENCE)
    problem(world.root("POST", f"/resource-servers/{mine['id']}/secrets"), 409, "conflict")


def test_settings_with_bounds_history_and_what_they_would_end(world):
    assert {each["name"] for each in world.ada.read("/settings")["items"]} >= {"idle_timeout_minutes", "token_alg"}
    path = "/settings/max_credential_days"
    was = world.root.read(path)
    changed = world.root.edit("PUT", path, {"value": was["value"] - 1})
    assert (changed.json["value"], changed.json["changed_by"]) == (was["value"] - 1, "api:root")
    newest = world.root.read(f"{path}/history")["items"][0]
    assert (newest["before"], newest["after"], newest["changed_by"]) == (was["value"], was["value"] - 1, "api:root")
    problem(world.root.edit("PUT", path, {"value": was["value"] - 1}), 409, "conflict")
    for bad in (0, "x", None, True, "30", 10**8, -1, 1.5, [], {}):
        assert world.root.edit("PUT", path, {"value": bad}).status_code == 400, bad
    assert world.root.edit("PUT", path, {"value": was["value"]}).json["value"] == was["value"]
    problem(world.root.edit("PUT", "/settings/token_alg", {"value": "none"}), 400, "invalid")
    problem(world.root.edit("PUT", "/settings/default_audience", {"value": "https://no.example"}), 400, "invalid")
    token = world.access_token(resource="https://api.example.com")
    assert world.active(token)
    world.store.usage.flush()
    world.clock.at += 120
    assert world.root.read("/settings/idle_timeout_minutes/preview", value=1)["live_tokens"] >= 1
    assert world.root.read("/settings/key_rotation_days/preview", value=1)["live_tokens"] == 0
    problem(world.root.get("/settings/idle_timeout_minutes/preview", value=0), 400, "invalid")
    assert world.active(token)
    for name in ("epoch", "used_since", "nothing", "%00"):
        for method, suffix, body in (("GET", "", None), ("PUT", "", {"value": 1}), ("GET", "/history", None)):
            problem(world.root(method, f"/settings/{name}{suffix}", body, If_Match="*"), 404, "not_found")


def test_the_signing_keys_and_their_moves(world):
    first = next(each for each in world.root.read("/signing-keys")["items"] if each["state"] == "active")
    staged = world.root("POST", "/signing-keys", {"alg": "ES256"}, Idempotency_Key="key-1")
    assert (staged.status_code, staged.json["state"]) == (201, "staged")
    again = world.root("POST", "/signing-keys", {"alg": "ES256"}, Idempotency_Key="key-1")
    assert again.json["kid"] == staged.json["kid"]
    problem(world.root("POST", "/signing-keys/rotate", {"alg": "ES256"}), 409, "conflict")
    readiness = world.root.read(f"/signing-keys/{staged.json['kid']}/readiness")
    assert readiness["may_sign_from"] == staged.json["may_sign_from"]
    assert {each["name"] for each in readiness["verifiers"]} >= {"api"}
    token = world.access_token(resource="https://api.example.com")
    assert world.active(token)
    world.store.usage.flush()
    drill = world.root.read(f"/signing-keys/{first['kid']}/drill")
    assert (drill["survivors"], drill["successor"]) == (0, staged.json["kid"])
    assert drill["judged"] >= 1
    assert world.active(token)
    again = {"alg": "ES256", "reason": "a drill"}
    rotated = world.root("POST", "/signing-keys/rotate", again, Idempotency_Key="rotation-1")
    replayed = world.root("POST", "/signing-keys/rotate", again, Idempotency_Key="rotation-1")
    assert (replayed.json["kid"], replayed.headers["Idempotency-Replayed"]) == (rotated.json["kid"], "true")
    assert (rotated.json["kid"], rotated.json["state"]) == (staged.json["kid"], "active")
    assert world.active(token)
    problem(
        world.root.edit("POST", f"/signing-keys/{first['kid']}/withdraw", of=f"/signing-keys/{first['kid']}"),
        409,
        "conflict",
    )
    of_key = f"/signing-keys/{first['kid']}"
    problem(world.root("POST", f"{of_key}/compromise", {"reason": "a test"}), 428, "precondition_required")
    stale = world.root("POST", f"{of_key}/compromise", {"reason": "a test"}, If_Match='"stale"')
    problem(stale, 412, "precondition_failed")
    dead = world.root.edit("POST", f"{of_key}/compromise", {"reason": "a test"}, of=of_key)
    assert dead.json["state"] == "compromised"
    assert not world.active(token)
    problem(world.root("POST", f"/signing-keys/{first['kid']}/retire", {}, If_Match="*"), 401, "invalid_token")
    for each in (world.root, world.ada):
        each.renew()
    world._narrow.clear()
    problem(world.root("POST", f"/signing-keys/{first['kid']}/retire", {}, If_Match="*"), 409, "conflict")
    problem(world.root("POST", "/signing-keys", {"alg": "none"}), 400, "invalid")
    problem(world.root("POST", "/signing-keys/rotate", {"alg": "ES256", "reason": "a\nb"}), 400, "invalid")
    for path in ("", "/readiness", "/drill"):
        problem(world.root.get(f"/signing-keys/none{path}"), 404, "not_found")
        problem(world.root.get(f"/signing-keys/{first['kid'][:8]}{path}"), 404, "not_found")
    assert '"d":' not in world.root.get("/signing-keys").text


def test_checkpoints_are_published_in_parts_with_the_keys_that_verify_them(world):
    for _ in range(3):
        take(
            world.store.checkpoints,
            world.services.sign_checkpoint,
            issuer=world.services.issuer,
            now=world.clock.at,
        )
    first = world.root.read("/audit/checkpoints", limit=2)
    rest = world.root.read("/audit/checkpoints", limit=2, cursor=first["next_cursor"])
    assert [each["number"] for each in first["items"] + rest["items"]] == [1, 2, 3]
    assert rest["next_cursor"] is None
    keys = world.root.get("/audit/checkpoints/keys").text
    kept = read_checkpoints(json.dumps(first), keys)
    export = world.root.get("/audit/export.csv")
    assert export.content_type.startswith("text/csv")
    assert verify_export(read(export.data.splitlines(keepends=True)), kept).proven == first["items"][-1]["records"]


def test_the_audit_trail_is_listed_exported_and_verified(world):
    whole = list(world.accounts.audit_records())
    found, query = [], {"limit": 7, "event": "role.created"}
    while True:
        part = world.root.read("/audit", **query)
        found += [each["seq"] for each in part["items"]]
        if part["next_cursor"] is None:
            break
        query["cursor"] = part["next_cursor"]
    assert found == [each.seq for each in reversed(whole) if each.event == "role.created"]
    lines = [json.loads(line) for line in world.root.get("/audit/export").data.splitlines()]
    assert [(each["seq"], canonical(each["detail"]), each["hash"]) for each in lines[: len(whole)]] == [
        (each.seq, each.detail, each.hash) for each in whole
    ]
    rest = world.root.get("/audit/export", after=whole[-2].seq)
    assert json.loads(rest.data.splitlines()[0])["seq"] == whole[-1].seq
    assert rest.content_type == "application/jsonl; charset=utf-8"
    verdict = world.root("POST", "/audit/verify").json
    assert (verdict["intact"], verdict["first_bad"]) == (True, None)
    assert world.root.read("/audit/head")["intact"]
    target = whole[0].target
    assert {each["target"] for each in world.root.read("/audit", target=target)["items"]} == {target}
    assert world.root.read("/audit", since="2100-01-01T00:00:00Z")["items"] == []
    problem(world.root.get("/audit", since="yesterday"), 400, "invalid_request")


def test_the_inventory_has_everybodys_and_switches_off_all_or_none(world):
    one, other = (world.credential()[0] for _ in range(2))
    report = world.root.read("/inventory/shared-secrets", limit=2)
    assert report["credentials"] >= report["with_secret"] >= report["only_secret"] > 0
    assert len(report["owners"]) <= 2
    listed = world.root.read("/inventory/credentials", limit=200)["items"]
    assert {"ada", "root"} <= {each["owner"] for each in listed}
    assert {one, other} <= {each["client_id"] for each in listed}
    chosen = {"client_ids": [one, other]}
    assert world.root("POST", "/inventory/credentials/preview", chosen).json["credentials"] == 2
    problem(world.root("POST", "/inventory/credentials/disable", {"client_ids": [one, "x"]}), 404, "not_found")
    problem(world.root("POST", "/inventory/credentials/disable", {"client_ids": [one, one]}), 400, "invalid")
    problem(world.root("POST", "/inventory/credentials/disable", {"client_ids": []}), 400, "invalid_request")
    assert world.root("POST", "/inventory/credentials/disable", chosen).json == {"disabled": 2}
    problem(world.root("POST", "/inventory/credentials/disable", chosen), 409, "conflict")
    off = world.root.read("/inventory/credentials", status="disabled", limit=200)["items"]
    assert {one, other} <= {each["client_id"] for each in off}


@pytest.mark.parametrize("path", ["/resource-servers/x", "/resource-servers/%00"])
def test_an_unknown_resource_server_is_not_found_everywhere(world, path):
    for method, suffix, body in (
        ("GET", "", None),
        ("PATCH", "", {"max_staleness": 1}),
        ("POST", "/secrets", None),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
    ):
        problem(world.root(method, path + suffix, body, If_Match="*"), 404, "not_found")
