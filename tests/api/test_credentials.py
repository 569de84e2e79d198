"""Credentials by the API: the life of one, lists in parts, conditions, foreign ones."""

import json
import threading

import pytest

from authserver.actions import general_settings
from authserver.actions import users as user_actions
from tests.support import issuers
from tests.support.api_client import AUDIENCE, problem
from tests.support.certificates import self_signed
from tests.support.issuers import KUBERNETES, Issuer
from tests.support.wsgi_client import wasted

DAY = 86400
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def iso(at):
    from authserver.api.schemas import iso

    return iso(at)


def create(client, name="bot", roles=("reader",), days=90, **headers):
    body = {"name": name, "expires_at": iso(client.world.clock.at + days * DAY), "roles": list(roles)}
    return client("POST", "/credentials", body, **headers)


@pytest.fixture
def owner(world):
    """A caller whose owner has no other credentials, with a name of its own for each test."""
    number = len(world.accounts.users())
    user_actions.create_user(world.accounts, f"owner{number}", ["reader", "writer", "builder"], **world.who)
    return world.api_client(f"owner{number}", ["reader", "writer", "builder"])


def test_the_life_of_a_credential(world, owner):
    made = create(owner, "Nightly export", ["reader", "writer"])
    assert made.status_code == 201
    client_id, secret = made.json["client_id"], made.json["client_secret"]
    path = f"/credentials/{client_id}"
    assert made.headers["Location"] == f"/api/v1/credentials/{client_id}"
    assert world.access_token((client_id, secret))
    shown = owner.get(f"/credentials/{client_id}")
    assert shown.headers["ETag"] == made.headers["ETag"]
    assert shown.json["statuses"] == ["active"]
    assert "client_secret" not in shown.json
    assert secret not in shown.text

    edited = owner.edit("PATCH", f"/credentials/{client_id}", {"name": "Weekly export"})
    assert (edited.status_code, edited.json["name"]) == (200, "Weekly export")
    token = world.access_token((client_id, secret))
    disabled = owner.edit("POST", f"{path}/disable", of=path)
    assert (disabled.status_code, disabled.json["statuses"]) == (200, ["disabled"])
    assert not world.active(token)
    problem(owner.edit("POST", f"{path}/disable", of=path), 409, "conflict")
    assert owner.edit("POST", f"{path}/enable", of=path).json["statuses"] == ["active"]
    assert not world.active(token)
    assert world.access_token((client_id, secret))

    assert owner.edit("DELETE", f"/credentials/{client_id}").status_code == 204
    problem(owner.get(f"/credentials/{client_id}"), 404, "not_found")
    problem(owner("DELETE", f"/credentials/{client_id}", If_Match="*"), 404, "not_found")
    assert world.token((client_id, secret)).status_code == 401
    last = world.accounts.audit_newest(1, target=client_id, event="credential.deleted")[0]
    assert last.actor == f"api:{owner.read('/me')['username']}"
    assert f'"client":"{owner.client_id}"' in last.detail


def test_a_list_in_parts_is_the_whole_list_in_each_order(world, owner):
    for number, name in enumerate("caBd"):
        create(owner, name, days=10 + number)
    for sort in ("name", "-name", "expires_at", "-expires_at", "created_at", "-created_at", "last_used_at"):
        whole = owner.read("/credentials", sort=sort)
        ids = [each["client_id"] for each in whole["items"]]
        assert (len(ids), whole["next_cursor"]) == (5, None)
        found, query = [], {"sort": sort, "limit": 2}
        while True:
            part = owner.read("/credentials", **query)
            found += [each["client_id"] for each in part["items"]]
            if part["next_cursor"] is None:
                break
            query["cursor"] = part["next_cursor"]
        assert found == ids, sort
    names = [each["name"] for each in owner.read("/credentials", sort="name")["items"]]
    assert names == sorted(names, key=str.lower)


def test_a_list_is_narrowed_and_a_cursor_belongs_to_its_query(world, owner):
    for name in ("alpha", "beta", "alphabet"):
        create(owner, name)
    assert {each["name"] for each in owner.read("/credentials", q="ALPHA")["items"]} == {"alpha", "alphabet"}
    assert owner.read("/credentials", status="disabled")["items"] == []
    world.store.usage.flush()
    assert "bot" not in {each["name"] for each in owner.read("/credentials", never_used="true")["items"]}
    cursor = owner.read("/credentials", limit=1)["next_cursor"]
    problem(owner.get("/credentials", cursor=cursor, q="alpha"), 400, "invalid_request")
    for bad in ("x", "e30", cursor[:-3], "\N{SNOWMAN}", "A" * 1025, "WyJ7fSIsIlx1MDAwMCJd"):
        problem(owner.get("/credentials", cursor=bad), 400, "invalid_request")
    for query in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"sort": "secret"}, {"status": "x"}, {"page": 1}):
        problem(owner.get("/credentials", **query), 400, "invalid_request")


def test_a_foreign_credential_is_answered_like_an_unknown_one_everywhere(world, owner):
    foreign = world.credential("ada")[0]
    token = world.access_token(world.credential("ada"))
    jti = world.introspect(token).json["jti"]
    bodies = {"PATCH": {"name": "mine"}, "POST": {}}
    for method, path, body in (
        ("GET", "/credentials/{}", None),
        ("PATCH", "/credentials/{}", bodies["PATCH"]),
        ("DELETE", "/credentials/{}", None),
        ("POST", "/credentials/{}/disable", None),
        ("POST", "/credentials/{}/enable", None),
        ("GET", "/credentials/{}/secrets", None),
        ("POST", "/credentials/{}/secrets", bodies["POST"]),
        ("PATCH", "/credentials/{}/secrets/x", {"ends_in_seconds": 0}),
        ("DELETE", "/credentials/{}/secrets/x", None),
        ("GET", "/credentials/{}/sessions", None),
        ("DELETE", "/credentials/{}/sessions", None),
        ("GET", "/credentials/{}/usage", None),
        ("GET", "/credentials/{}/timeline", None),
    ):
        answers = [owner(method, path.format(each), body, If_Match="*") for each in (foreign, UNKNOWN, "%00", "%20'")]
        told = {(answer.status_code, answer.data) for answer in answers}
        assert len(told) == 1, path
        problem(answers[0], 404, "not_found")
    assert {owner("DELETE", f"/sessions/{each}").status_code for each in (jti, "x", "%00")} == {404}
    assert world.active(token)


def test_an_edit_says_what_it_edits(world, owner):
    client_id = create(owner).json["client_id"]
    path = f"/credentials/{client_id}"
    problem(owner("PATCH", path, {"name": "x"}), 428, "precondition_required")
    problem(owner("PATCH", path, {"name": "x"}, If_Match='"other"'), 412, "precondition_failed")
    problem(owner("PATCH", path, {"name": "x"}, If_Match="other"), 400, "invalid_request")
    tag = owner.get(path).headers["ETag"]
    problem(owner("PATCH", path, {"name": "x"}, If_Match=f"W/{tag}"), 412, "precondition_failed")
    assert owner("PATCH", path, {"name": "x"}, If_Match=f'"other", {tag}').status_code == 200
    problem(owner("PATCH", path, {"name": "y"}, If_Match=tag), 412, "precondition_failed")
    assert owner("PATCH", path, {"name": "y"}, If_Match="*").status_code == 200


def test_nothing_but_what_may_be_set_can_be_set(world, owner):
    body = {"name": "bot", "expires_at": iso(world.clock.at + DAY), "roles": ["reader"]}
    before = len(owner.read("/credentials")["items"])
    for name, value in {
        "owner": "root",
        "owner_id": "x",
        "client_id": UNKNOWN,
        "client_secret": "x",
        "version": 9,
        "disabled_at": None,
        "__class__": "x",
    }.items():
        told = problem(owner("POST", "/credentials", {**body, name: value}), 400, "invalid_request")
        assert told["errors"] == [{"pointer": f"/{name}", "detail": "There is no such member."}]
    client_id = create(owner).json["client_id"]
    for name in ("roles", "owner", "client_id", "disabled_at", "version"):
        refused = owner.edit("PATCH", f"/credentials/{client_id}", {"name": "y", name: ["builder"]})
        problem(refused, 400, "invalid_request")
    assert owner.read(f"/credentials/{client_id}")["name"] == "bot"
    assert len(owner.read("/credentials")["items"]) == before + 1


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "roles": ["reader"]},
        {"name": "x" * 101, "roles": ["reader"]},
        {"name": "a\nb", "roles": ["reader"]},
        {"name": "a\0b", "roles": ["reader"]},
        {"name": "a\u202eb", "roles": ["reader"]},
        {"name": 7, "roles": ["reader"]},
        {"name": "bot", "roles": []},
        {"name": "bot", "roles": "reader"},
        {"name": "bot", "roles": ["builder"]},
        {"name": "bot", "roles": ["reader"], "expires_at": "2027-13-01T00:00:00Z"},
        {"name": "bot", "roles": ["reader"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "bot", "roles": ["reader"], "expires_at": "9999-01-01T00:00:00Z"},
        {"name": "bot", "roles": ["reader"], "expires_at": 1},
    ],
)
def test_values_that_cannot_be_are_refused_and_change_nothing(world, owner, body):
    answer = owner("POST", "/credentials", {"expires_at": iso(world.clock.at + DAY), **body})
    assert answer.status_code == 400, answer.text
    assert len(owner.read("/credentials")["items"]) == 1


def test_a_token_hands_out_no_role_that_it_does_not_have(world, owner):
    more = create(owner, roles=["reader", "writer"]).json["client_id"]
    narrow = world.api_client(owner.read("/me")["username"], ["reader", "builder"])
    problem(create(narrow, roles=["reader", "writer"]), 403, "insufficient_scope")
    problem(create(narrow, roles=["reader", "nothing"]), 403, "insufficient_scope")
    problem(narrow("POST", f"/credentials/{more}/secrets", {}), 403, "insufficient_scope")
    assert create(narrow).status_code == 201


def test_the_same_creation_again_makes_one_and_tells_no_secret_again(world, owner):
    first = create(owner, Idempotency_Key="k-1")
    again = create(owner, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json["client_id"] == first.json["client_id"]
    assert (again.json["client_secret"], again.headers["Idempotency-Replayed"]) == (None, "true")
    assert "Idempotency-Replayed" not in first.headers
    problem(create(owner, "other", Idempotency_Key="k-1"), 422, "idempotency_key_reused")
    problem(create(owner, Idempotency_Key="k \u00e4"), 400, "invalid_request")
    assert len(owner.read("/credentials")["items"]) == 2
    path = f"/credentials/{first.json['client_id']}/secrets"
    made = owner("POST", path, {"overlap_seconds": 3600}, Idempotency_Key="k-2")
    again = owner("POST", path, {"overlap_seconds": 3600}, Idempotency_Key="k-2")
    assert made.json["client_secret"]
    assert again.json["client_secret"] is None
    assert again.json["secrets"] == made.json["secrets"]


def test_secrets_are_rotated_moved_and_ended(world, owner):
    made = create(owner).json
    client_id, old = made["client_id"], made["client_secret"]
    path = f"/credentials/{client_id}/secrets"
    new = owner("POST", path, {"overlap_seconds": 86400}).json["client_secret"]
    assert world.token((client_id, old)).status_code == world.token((client_id, new)).status_code == 200
    newest, oldest = sorted(owner.read(path)["items"], key=lambda each: each["ends_at"] or "")
    assert newest["ends_at"] is None
    problem(owner.edit("DELETE", f"{path}/{newest['id']}", of=path), 409, "conflict")
    moved = owner.edit("PATCH", f"{path}/{oldest['id']}", {"ends_in_seconds": 3600}, of=path)
    assert moved.json["ends_at"] == iso(world.clock.at + 3600)
    problem(owner.edit("PATCH", f"{path}/{oldest['id']}", {"ends_in_seconds": 5}, of=path), 400, "invalid_request")
    assert owner.edit("DELETE", f"{path}/{oldest['id']}", of=path).status_code == 204
    assert world.token((client_id, old)).status_code == 401
    problem(owner.edit("DELETE", f"{path}/{oldest['id']}", of=path), 409, "conflict")
    problem(owner.edit("DELETE", f"{path}/{made['secrets'][0]['id']}x", of=path), 404, "not_found")
    assert old not in owner.get(path).text
    assert new not in owner.get(path).text


def test_sessions_are_listed_and_ended_one_or_all(world, owner):
    made = create(owner).json
    client = (made["client_id"], made["client_secret"])
    tokens = [world.access_token(client) for _ in range(3)]
    jtis = [world.introspect(token).json["jti"] for token in tokens]
    path = f"/credentials/{client[0]}/sessions"
    world.store.usage.flush()
    listed = owner.read(path)["items"]
    assert {each["jti"] for each in listed} == set(jtis)
    assert all(each["live"] and each["end_reason"] is None for each in listed)
    assert tokens[0] not in owner.get(path).text
    assert owner("DELETE", f"/sessions/{jtis[0]}").status_code == 204
    problem(owner("DELETE", f"/sessions/{jtis[0]}"), 404, "not_found")
    assert [world.active(token) for token in tokens] == [False, True, True]
    ended = owner.read(path, live="false")["items"]
    assert [(each["jti"], each["end_reason"]) for each in ended] == [(jtis[0], "ended_by_owner")]
    assert owner("DELETE", path).json == {"recorded": 2}
    assert [world.active(token) for token in tokens] == [False, False, False]
    assert world.access_token(client)
    usage = owner.read(f"/credentials/{client[0]}/usage")
    world.store.usage.flush()
    usage = owner.read(f"/credentials/{client[0]}/usage")
    assert usage["token_requests"]["granted"] == 4
    assert usage["live_tokens"] == 1
    assert usage["unused_tokens"] is None
    wasted(world, client[0], 1000)
    assert owner.read(f"/credentials/{client[0]}/usage")["unused_tokens"] == {"tokens": 1000, "uses": 0}
    assert len(usage["days"]) == 30
    line = owner.read(f"/credentials/{client[0]}/timeline", limit=2)
    rest = owner.read(f"/credentials/{client[0]}/timeline", limit=2, cursor=line["next_cursor"])
    assert [each["event"] for each in line["items"] + rest["items"]] == [
        "credential.sessions_ended",
        "session.ended",
        "credential.created",
    ]


def test_of_64_edits_of_each_version_one_wins_and_the_others_are_told(world, owner):
    client_id = create(owner).json["client_id"]
    path = f"/credentials/{client_id}"
    before = len(list(world.accounts.audit_records(target=client_id)))
    for _round in range(2):
        tag, outcomes = owner.get(path).headers["ETag"], []
        together = threading.Barrier(64)

        def edit(number, tag=tag, outcomes=outcomes, together=together, _round=_round):
            together.wait(60)
            outcomes.append(owner("PATCH", path, {"name": f"name {_round} {number}"}, If_Match=tag).status_code)

        threads = [threading.Thread(target=edit, args=(number,)) for number in range(64)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(120)
        assert sorted(outcomes) == [200] + [412] * 63
    assert len(list(world.accounts.audit_records(target=client_id))) == before + 2


def test_public_keys_are_added_ended_and_take_the_place_of_secrets(world, owner):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    made = create(owner).json
    path = f"/credentials/{made['client_id']}"
    keys = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(2)]
    one, other = (key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in keys)
    problem(owner.edit("DELETE", f"{path}/secrets", of=path), 409, "conflict")
    added = owner("POST", f"{path}/keys", {"public_key": one}, Idempotency_Key="key")
    again = owner("POST", f"{path}/keys", {"public_key": one}, Idempotency_Key="key")
    assert (added.status_code, again.json, again.headers["Idempotency-Replayed"]) == (201, added.json, "true")
    assert [each["alg"] for each in added.json["items"]] == ["ES256"]
    problem(owner("POST", f"{path}/keys", {"public_key": one}), 409, "conflict")
    problem(owner("POST", f"{path}/keys", {"public_key": "no key"}), 400, "invalid")
    assert owner("POST", f"{path}/keys", {"public_key": other}).status_code == 201
    assert owner.edit("DELETE", f"{path}/secrets", of=path).status_code == 204
    assert world.token((made["client_id"], made["client_secret"])).status_code == 401
    thumbprint = added.json["items"][0]["thumbprint"]
    assert owner.edit("DELETE", f"{path}/keys/{thumbprint}", of=path).status_code == 204
    problem(owner.edit("DELETE", f"{path}/keys/{thumbprint}", of=path), 404, "not_found")
    narrow = world.api_client(owner.read("/me")["username"], ["reader", "builder"])
    more = create(owner, roles=["reader", "writer"]).json["client_id"]
    problem(narrow("POST", f"/credentials/{more}/keys", {"public_key": one}), 403, "insufficient_scope")


def test_a_client_rotates_its_own_secret_only_where_the_setting_allows_it(world, owner):
    name = owner.read("/me")["username"]
    client = world.api_client(name, ["reader", "writer"])
    path = "/me/credential/secrets"
    problem(client("POST", path, {"overlap_seconds": 3600}), 403, "not_allowed")
    general_settings.set_general(world.accounts, "self_rotation", "1", **world.who)
    made = client("POST", path, {"overlap_seconds": 3600}, Idempotency_Key="self")
    assert (made.status_code, made.json["client_id"]) == (201, client.client_id)
    again = client("POST", path, {"overlap_seconds": 3600}, Idempotency_Key="self")
    assert (again.json["client_secret"], again.headers["Idempotency-Replayed"]) == (None, "true")
    old, new = client.credential, (client.client_id, made.json["client_secret"])
    assert client.get("/me").status_code == 200
    world.clock.at += 3600
    assert world.token(old).status_code == 401
    client.credential = new
    assert client.renew().get("/me").status_code == 200
    assert client("POST", path, {}).status_code == 201
    problem(client.get("/me"), 401, "invalid_token")
    narrow = world.api_client(name, ["reader", "writer"])
    narrow.token = world.access_token(narrow.credential, resource=AUDIENCE, scope="reader")
    problem(narrow("POST", path, {}), 403, "insufficient_scope")
    general_settings.set_general(world.accounts, "self_rotation", "0", **world.who)
    problem(world.ada.renew()("POST", path, {}), 403, "not_allowed")
    world.root.renew()


def test_a_trust_is_added_tried_and_ended(world, owner):
    made = create(owner)
    path = f"/credentials/{made.json['client_id']}"
    issuer = Issuer(KUBERNETES, header={})
    body = {
        "issuer": KUBERNETES,
        "claims": {"sub": "system:serviceaccount:payroll:export"},
        "jwks": json.dumps(issuer.jwks),
    }
    added = owner("POST", f"{path}/trusts", body, Idempotency_Key="trust")
    again = owner("POST", f"{path}/trusts", body, Idempotency_Key="trust")
    assert (added.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    (trust,) = added.json["items"]
    assert (trust["issuer"], trust["audience"], trust["has_jwks"]) == (KUBERNETES, world.services.issuer, True)
    problem(owner("POST", f"{path}/trusts", body), 409, "conflict")
    problem(owner("POST", f"{path}/trusts", {**body, "claims": {"sub": "a:*"}}), 400, "invalid")
    problem(owner("POST", f"{path}/trusts", {**body, "jwks": "{}"}), 400, "invalid")
    text = issuer.sign(issuers.kubernetes(world.clock.at, aud=["https://other.example.com"]))
    (trial,) = owner("POST", f"{path}/trusts/try", {"token": text}).json["items"]
    assert not trial["passes"]
    assert [each["check"] for each in trial["checks"] if not each["holds"]] == ["aud"]
    problem(owner("POST", f"{path}/trusts/try", {"token": "x"}), 400, "invalid")
    assert owner.edit("DELETE", f"{path}/trusts/{trust['id']}", of=path).status_code == 204
    problem(owner.edit("DELETE", f"{path}/trusts/{trust['id']}", of=path), 404, "not_found")
    problem(owner("POST", f"{path}/trusts/try", {"token": text}), 404, "not_found")


def test_the_address_of_its_keys_is_set_and_taken_away(world, owner):
    made = create(owner)
    path = f"/credentials/{made.json['client_id']}"
    body = {"jwks_uri": "https://client.example.com/jwks"}
    assert owner.edit("PUT", f"{path}/jwks-uri", body, of=path).status_code == 204
    problem(owner.edit("PUT", f"{path}/jwks-uri", body, of=path), 409, "conflict")
    problem(owner.edit("PUT", f"{path}/jwks-uri", {"jwks_uri": "http://x.example.com"}, of=path), 400, "invalid")
    assert owner.edit("DELETE", f"{path}/jwks-uri", of=path).status_code == 204
    problem(owner.edit("DELETE", f"{path}/jwks-uri", of=path), 404, "not_found")


def test_restrictions_are_replaced_as_a_whole(world, owner):
    made = create(owner)
    client_id, path = made.json["client_id"], f"/credentials/{made.json['client_id']}"
    assert owner.get(f"{path}/restrictions").json == {
        "networks": [],
        "audiences": [],
        "max_lifetime_seconds": 0,
        "bound": False,
        "max_sessions": 0,
        "end_oldest": False,
        "requests_per_minute": 0,
    }
    issued = world.access_token((client_id, made.json["client_secret"]))
    wanted = {"networks": ["192.0.2.0/24"], "max_lifetime_seconds": 600}
    told = owner.edit("PUT", f"{path}/restrictions", wanted, of=path)
    assert (told.status_code, told.json["networks"], told.json["audiences"]) == (200, ["192.0.2.0/24"], [])
    assert not world.active(issued)
    assert world.token((client_id, made.json["client_secret"])).status_code == 401
    problem(owner.edit("PUT", f"{path}/restrictions", wanted, of=path), 409, "conflict")
    problem(owner.edit("PUT", f"{path}/restrictions", {"networks": ["x"]}, of=path), 400, "invalid")
    problem(owner.edit("PUT", f"{path}/restrictions", {"audiences": ["urn:nobody"]}, of=path), 400, "invalid")
    problem(owner.edit("PUT", f"{path}/restrictions", {"end_oldest": True}, of=path), 400, "invalid")
    counted = {"max_sessions": 3, "end_oldest": True, "requests_per_minute": 60}
    told = owner.edit("PUT", f"{path}/restrictions", counted, of=path)
    assert {name: told.json[name] for name in counted} == counted
    assert owner.edit("PUT", f"{path}/restrictions", {}, of=path).status_code == 200
    assert world.token((client_id, made.json["client_secret"])).status_code == 200


def test_a_certificate_and_a_name_are_added_and_ended(world, owner):
    made = create(owner)
    path, mine = f"/credentials/{made.json['client_id']}", self_signed()
    added = owner("POST", f"{path}/certificates", {"certificate": mine.pem}, Idempotency_Key="certificate")
    again = owner("POST", f"{path}/certificates", {"certificate": mine.pem}, Idempotency_Key="certificate")
    assert (added.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    (one,) = added.json["items"]
    assert (one["method"], one["name"], one["value"]) == ("self_signed_tls_client_auth", "x5t#S256", mine.thumbprint)
    assert (one["subject"], one["live"]) == ("CN=payroll,O=Acme,C=DE", True)
    problem(owner("POST", f"{path}/certificates", {"certificate": mine.pem}), 409, "conflict")
    for body in (
        {},
        {"certificate": mine.pem, "name": "san_dns", "value": "a.b"},
        {"certificate": mine.key_pem},
        {"name": "san_dns", "value": "*.example.com"},
    ):
        problem(owner("POST", f"{path}/certificates", body), 400, "invalid")
    unknown = owner("POST", f"{path}/certificates", {"name": "issuer_dn", "value": "CN=x"})
    problem(unknown, 400, "invalid_request")  # the schema names the kinds of names
    items = owner("POST", f"{path}/certificates", {"name": "san_uri", "value": "spiffe://a/b"}).json["items"]
    (name,) = (each for each in items if each["id"] != one["id"])  # made in the same second: in any order
    assert (name["method"], name["valid_until"]) == ("tls_client_auth", None)
    assert len(owner.get(f"{path}/certificates").json["items"]) == 2
    for each in (one, name):
        assert owner.edit("DELETE", f"{path}/certificates/{each['id']}", of=path).status_code == 204
    problem(owner.edit("DELETE", f"{path}/certificates/{one['id']}", of=path), 404, "not_found")
