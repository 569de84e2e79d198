"""What holds for every request: the token's life, errors as problem details, headers, no cookie, no CORS."""

import json

import pytest

from authserver.actions import credentials as credential_actions
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import users as user_actions
from authserver.api.problems import KINDS
from tests.support.api_client import AUDIENCE, problem
from tests.support.assertions import Signer, proof
from tests.support.processes import ROOT
from tests.support.wsgi_client import basic


def test_me_says_in_whose_name_the_caller_acts_and_what_its_roles_open(world):
    me = world.root.read("/me")
    assert (me["username"], me["client_id"]) == ("root", world.root.client_id)
    assert "users:manage" in me["permissions"]
    assert world.root_plain().read("/me")["permissions"] == []
    assert me["token"]["idle_expires_at"] < me["token"]["expires_at"]


def test_a_call_is_a_use_and_an_unused_token_is_dead_for_good(world):
    caller = world.api_client("ada", ["reader", "builder"])
    for _ in range(3):
        world.clock.at += 25 * 60
        assert caller.get("/me").status_code == 200
    world.clock.at += 31 * 60
    problem(caller.get("/me"), 401, "invalid_token")
    world.clock.at -= 20 * 60
    problem(caller.get("/me"), 401, "invalid_token")
    world.clock.at += 20 * 60
    for each in (world.root, world.ada):
        each.renew()
    world._narrow.clear()


def test_a_token_dies_with_the_roles_of_its_owner_with_its_credential_and_with_its_secret(world):
    user_actions.create_user(world.accounts, "grace", ["reader", "builder"], **world.who)
    caller = world.api_client("grace", ["reader", "builder"])
    user_actions.grant(world.accounts, "grace", "writer", **world.who)
    problem(caller.get("/me"), 401, "invalid_token")
    assert caller.renew().get("/me").status_code == 200
    credential_actions.disable(world.accounts, caller.client_id, **world.who)
    problem(caller.get("/me"), 401, "invalid_token")


def test_P_06_a_token_that_is_bound_to_a_key_is_no_bearer_token(world):
    headers = {"Authorization": basic(*world.ada.credential), "DPoP": proof(world, Signer())}
    form = {"grant_type": "client_credentials", "resource": AUDIENCE}
    bound = world.http.post("/oauth/token", data=form, headers=headers).json["access_token"]
    problem(world.ada("GET", "/me", token=bound), 401, "invalid_token")
    problem(world.ada("GET", "/me", Authorization=f"DPoP {bound}"), 401, "invalid_token")


def test_a_token_for_another_api_and_a_changed_token_are_none(world):
    other = world.access_token(world.ada.credential, resource="https://api.example.com")
    problem(world.ada("GET", "/me", token=other), 401, "invalid_token")
    head, body, signature = world.ada.token.split(".")
    for text in (f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.", f"{head}.e30.{signature}", "\N{SNOWMAN}"):
        problem(world.ada("GET", "/me", token=text.encode("utf-8").decode("latin-1")), 401, "invalid_token")


def test_nobody_else_introspects_tokens_for_this_api(world):
    assert world.introspect(world.ada.token).json == {"active": False}


def test_an_operator_can_switch_the_api_off_and_on(world):
    resource_server_actions.disable_resource_server(world.accounts, AUDIENCE, **world.who)
    problem(world.root.get("/me"), 401, "invalid_token")
    resource_server_actions.enable_resource_server(world.accounts, AUDIENCE, **world.who)
    assert world.root.get("/me").status_code == 200


def test_no_answer_sets_a_cookie_or_opens_another_origin(world):
    for answer in (
        world.root("GET", "/me", Origin="https://evil.example", Cookie="console=x"),
        world.http.get("/api/v1/docs"),
        world.http.get("/api/v1/openapi.json"),
        world.http.get("/api/v1/nothing"),
        world.http.open("/api/v1/me", method="OPTIONS", headers={"Origin": "https://evil.example"}),
    ):
        assert "Set-Cookie" not in answer.headers
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_told_a_caller_is_never_kept_by_anybody(world):
    assert world.root.get("/me").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/me",
        "/api/v1/me/",
        "/api/v1/me%00",
        "/api/v1/%ff",
        "/api/v1//me",
    ],
)
def test_what_is_not_there_is_a_problem_and_no_page(world, path):
    problem(world.http.get(path), 404, "not_found")


def test_unknown_and_repeated_parameters_are_named(world):
    problem_document = problem(world.root.get("/me", colour="red"), 400, "invalid_request")
    assert [each["pointer"] for each in problem_document["errors"]] == ["colour"]


def test_headers_without_end_are_refused(world):
    problem(world.root("GET", "/me", X_Much="x" * 17_000), 431, "headers_too_large")


def test_a_request_that_others_can_read_is_refused(world, monkeypatch):
    monkeypatch.setattr(world.services, "resolve_peer", lambda _environ: ("192.0.2.1", False))
    problem(world.root.get("/me"), 400, "invalid_request")


def test_each_kind_of_problem_has_a_page_here_and_in_the_docs(world):
    for code, kind in KINDS.items():
        answer = world.http.get(f"/api/v1/docs/errors/{code}")
        assert answer.status_code == 200
        assert kind.title in answer.text.replace("&#39;", "'")
        assert (ROOT / "docs" / "errors" / f"{code}.md").is_file(), code
    problem(world.http.get("/api/v1/docs/errors/nothing"), 404, "not_found")


def test_the_docs_page_runs_no_script_and_loads_nothing_from_elsewhere(world):
    answer = world.http.get("/api/v1/docs")
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert 'style="' not in answer.text
    assert "//" not in answer.text.replace("http://127.0.0.1:8000", "").replace("https://", "")
    for path in json.loads(world.http.get("/api/v1/openapi.json").data)["paths"]:
        assert f"<code>{path}</code>" in answer.text


def test_a_database_that_is_away_is_503_and_never_a_stack(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    def away():
        raise Unavailable("the database cannot be reached: password of root")

    monkeypatch.setattr(world.services, "store", away)
    answer = world.root.get("/me")
    problem_document = problem(answer, 503, "temporarily_unavailable")
    assert "password" not in str(problem_document)
    assert answer.headers["Retry-After"] == "2"


def test_a_boolean_is_no_number_of_seconds(world):
    found = problem(world.ada("POST", f"/credentials/{world.ada.client_id}/secrets", {"overlap_seconds": False}), 400,
                    "invalid_request")  # fmt: skip
    assert [each["pointer"] for each in found["errors"]] == ["/overlap_seconds"]


def test_an_empty_idempotency_key_is_none_of_the_keys_there_are(world):
    body = {"name": "x", "kind": "operational", "permissions": []}
    problem(world.root("POST", "/roles", body, Idempotency_Key=""), 400, "invalid_request")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/signing-keys/rotate", "POST"), ("/credentials/x/trusts/try", "POST"), ("/credentials/x/trusts/y", "DELETE")],
)
def test_allow_names_the_methods_of_this_address_and_not_of_those_that_look_like_it(world, path, allowed):
    answer = world.root("PUT", path, {})
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


def test_a_list_of_what_was_never_used_is_sorted_by_last_use_like_any_other(world):
    world.credential("ada", ["reader"])
    for path in ("/credentials", "/inventory/credentials"):
        for order in ("last_used_at", "-last_used_at"):
            found = world.root.read(path, never_used="true", sort=order)["items"]
            assert all(each["last_used_at"] is None for each in found)
    assert world.root.read("/inventory/credentials", never_used="true", unused_days="1", sort="last_used_at")
