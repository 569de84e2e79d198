"""Discovery documents and keys: STANDARDS.md section 3.6."""

import json

import pytest
from werkzeug.test import Client

from authserver.actions import resource_servers as resource_server_actions
from authserver.oauth.dispatcher import Dispatcher, routes
from authserver.oauth.http import Response
from authserver.oauth.metadata import document, jwks_endpoint, metadata_endpoint
from authserver.ports.errors import Unavailable
from keys.keyring import State
from keys.material import make, thumbprint
from tests.support.wsgi_client import BACKENDS, active_key, opened, parts, unb64

PLACES = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
JWKS = "/.well-known/jwks.json"
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


def nowhere(_environ, start_response):
    start_response("404 Not Found", [])
    return [b""]


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    for world in opened(request.param, tmp_path_factory.mktemp("metadata")):
        for alg in ("RS256", "EdDSA"):
            key = make(alg, world.services.master())
            world.store.keys.add(key, "test", world.clock.at)
            world.store.keys.activate(key.kid, "test", world.clock.at)
            audience = f"https://{alg.lower()}.example.com"
            resource_server_actions.register_resource_server(
                world.accounts, alg, audience, pepper=world.store.pepper, token_alg=alg, **world.who
            )
        yield world


@pytest.mark.parametrize("place", PLACES)
def test_M_01_M_02_where_and_what(world, place):
    answer = world.http.get(place)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json["issuer"] == world.services.issuer
    assert world.http.head(place).status_code == 200
    assert world.http.post(place).status_code == 405


def test_M_01_an_issuer_with_a_path(world):
    issuer = "https://auth.example.com/tenant"

    def told(name):
        return lambda _ask: Response(200, name.encode())

    table = routes(
        {"/oauth/token": told("token")},
        {JWKS: told("jwks"), PLACES[0]: metadata_endpoint(issuer, world.store.keys.ring, openid=False)},
        issuer,
    )
    http = Client(Dispatcher(table, nowhere))
    found = json.loads(http.get(f"{PLACES[0]}/tenant").data)
    assert (found["issuer"], found["token_endpoint"]) == (issuer, f"{issuer}/oauth/token")
    for path in ("/tenant/oauth/token", "/oauth/token", "/tenant/OAuth/Token", "/Tenant/OAuth/token"):
        assert http.post(path).data == b"token"
    assert http.get(f"/tenant{JWKS}").data == b"jwks"
    assert http.get(f"{PLACES[0]}/other").status_code == 404


@pytest.mark.parametrize("place", PLACES)
def test_M_03_M_06_no_empty_members(world, place):
    told = world.http.get(place).json
    assert [name for name, value in told.items() if not value] == ["response_types_supported"]  # REQUIRED, and none
    empty = [name for name, value in document("https://a.example", [], openid=True).items() if not value]
    assert empty == ["response_types_supported"]


@pytest.mark.parametrize("place", PLACES)
def test_M_04_M_05_the_addresses(world, place):
    document = world.http.get(place).json
    assert document["grant_types_supported"] == ["client_credentials"]
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"):
        assert document[name].startswith(world.services.issuer + "/")
    assert not any("none" in str(value) or "HS256" in str(value) for value in document.values())
    for name in [each for each in document if each.endswith("_auth_methods_supported")]:
        algorithms = name.replace("_methods_", "_signing_alg_values_")
        assert ("private_key_jwt" in document[name]) == (algorithms in document)


def test_M_07_both_documents_agree(world):
    one, two = (world.http.get(place).json for place in PLACES)
    assert {name: two[name] for name in one} == one
    assert set(two) - set(one) == {"id_token_signing_alg_values_supported", "subject_types_supported"}


def test_M_08_what_is_advertised_works_and_nothing_else(world):
    document = world.http.get(PLACES[1]).json
    base = world.services.issuer
    token_path, asking, ending = (
        document[f"{name}_endpoint"].removeprefix(base) for name in ("token", "introspection", "revocation")
    )
    by_secret = ["client_secret_basic", "client_secret_post"]
    # By a key: tests/oauth/test_client_assertions.py.
    assert document["token_endpoint_auth_methods_supported"] == [*by_secret, "private_key_jwt"]
    for grant in document["grant_types_supported"]:
        for method in by_secret:
            token = asked(world, token_path, {"grant_type": grant}, world.client, method).json["access_token"]
            assert asked(world, asking, {"token": token}, world.api, method).json["active"] is True
            assert asked(world, ending, {"token": token}, world.client, method).status_code == 200
    for method in ("none", "client_secret_jwt"):
        form = {"grant_type": "client_credentials", "client_id": world.client[0]}
        if method != "none":
            form |= {"client_assertion": "x.y.z", "client_assertion_type": "urn:x"}
        assert world.post(token_path, form).json["error"] == "invalid_client"
    algs = {parts(world.access_token(resource=f"https://{alg}.example.com"))[0]["alg"] for alg in ("api", "rs256")}
    assert algs | {"EdDSA"} == set(document["introspection_signing_alg_values_supported"])
    assert document["introspection_signing_alg_values_supported"] == document["id_token_signing_alg_values_supported"]


def asked(world, path, form, who, method):
    if method == "client_secret_basic":
        return world.post(path, form, who)
    return world.post(path, {**form, "client_id": who[0], "client_secret": who[1]})


def test_M_08_an_algorithm_goes_when_its_key_does(world):
    key = make("PS256", world.services.master())
    told = [algorithms(world)]
    world.store.keys.add(key, "test", world.clock.at)
    told.append(algorithms(world))
    world.store.keys.activate(key.kid, "test", world.clock.at)
    told.append(algorithms(world))
    world.store.keys.compromise(key.kid, "test", world.clock.at, None)
    told.append(algorithms(world))
    assert ["PS256" in each for each in told] == [False, False, True, False]


def algorithms(world):
    return world.http.get(PLACES[0]).json["introspection_signing_alg_values_supported"]


def test_K_01_K_02_K_03_K_04_K_08_the_keys(world):
    answer = world.http.get(JWKS)
    assert answer.content_type == "application/jwk-set+json"
    keys = json.loads(answer.data)["keys"]
    assert {key["kty"] for key in keys} == {"EC", "RSA", "OKP"}
    for key in keys:
        required = {name: key[name] for name in REQUIRED[key["kty"]]}
        assert set(key) == {*required, "kid", "alg", "use"}
        assert key["kid"] == thumbprint(required)
        assert key["use"] == "sig"
        if key["kty"] == "RSA":
            assert len(unb64(key["n"])) * 8 >= 2048
        if key["kty"] == "EC":
            assert len(unb64(key["x"])) == len(unb64(key["y"])) == 32
    assert len({key["kid"] for key in keys}) == len(keys)


def test_K_05_caching(world):
    answer = world.http.get(JWKS)
    tag = answer.headers["ETag"]
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    for value in (tag, f"W/{tag}", f'"x", {tag}', f'"x",W/{tag},"y"', "*"):
        known = world.http.get(JWKS, headers={"If-None-Match": value})
        assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", tag)
        assert "Content-Length" not in known.headers
    for value in ('"x"', tag.strip('"'), "", f'"{tag}"', "W/*"):
        assert world.http.get(JWKS, headers={"If-None-Match": value}).status_code == 200, value
    head = world.http.head(JWKS)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", tag)
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]


def test_K_06_K_07_keys_come_before_they_sign_and_go_when_compromised(world):
    old = active_key(world)
    token = world.access_token()
    fresh = make("ES256", world.services.master())

    def published():
        return {key["kid"] for key in world.http.get(JWKS).json["keys"]}

    assert fresh.kid not in published()
    world.store.keys.add(fresh, "test", world.clock.at)
    assert {fresh.kid, old.kid} <= published()
    assert parts(world.access_token())[0]["kid"] == old.kid
    world.store.keys.activate(fresh.kid, "test", world.clock.at)
    assert {fresh.kid, old.kid} <= published()
    assert parts(world.access_token())[0]["kid"] == fresh.kid
    assert world.active(token)
    world.store.keys.compromise(old.kid, "test", world.clock.at, None)
    assert old.kid not in published()
    assert not world.active(token)
    states = {key.kid: key.state for key in world.store.keys.ring()}
    assert (states[old.kid], states[fresh.kid]) == (State.COMPROMISED, State.ACTIVE)


@pytest.mark.parametrize("place", [*PLACES, JWKS])
def test_T_145_no_header_changes_what_is_told(world, place):
    plain = world.http.get(place)
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-For": "203.0.113.1",
        "X-Original-Url": "/evil",
        "Forwarded": "for=203.0.113.1;host=evil.example;proto=https",
    }
    answer = world.http.get(place, headers=forged)
    assert (answer.status, dict(answer.headers), answer.data) == (plain.status, dict(plain.headers), plain.data)


def test_the_database_away_is_503_in_json():
    def ring():
        raise Unavailable

    http = Client(Dispatcher(routes({}, {JWKS: jwks_endpoint(ring)}), nowhere))
    answer = http.get(JWKS)
    assert (answer.status_code, json.loads(answer.data)["error"]) == (503, "temporarily_unavailable")
    assert "max-age" not in answer.headers["Cache-Control"]


@pytest.mark.parametrize("place", PLACES)
def test_what_strict_clients_require_is_there(world, place):
    """RFC 8414 §2 and OpenID Connect Discovery 1.0 §3: the required members, with their types."""
    members = world.http.get(place).json
    issuer = world.services.issuer
    assert members["authorization_endpoint"] == f"{issuer}/oauth/authorize"
    assert members["response_types_supported"] == []
    assert members["service_documentation"] == f"{issuer}/console/help"
    assert "scopes_supported" not in members
    assert world.http.get("/console/help").status_code == 200
    if place.endswith("openid-configuration"):
        for name in ("subject_types_supported", "id_token_signing_alg_values_supported"):
            assert members[name], name


def test_scopes_are_published_by_a_setting(world):
    ring = world.store.keys.ring
    for names in (["reader"], ["reader", "writer"]):  # also after roles changed
        endpoint = metadata_endpoint("https://a.example", ring, openid=False, scopes=lambda names=names: names)
        http = Client(Dispatcher(routes({}, {PLACES[0]: endpoint}), nowhere))
        assert http.get(PLACES[0]).json["scopes_supported"] == names


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/plain"])
def test_the_authorization_endpoint_says_to_programs_that_no_grant_uses_it(world, method, accept):
    query = "?response_type=code&client_id=x&redirect_uri=https://evil.example/&state=s"
    answer = getattr(world.http, method)(f"/oauth/authorize{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.content_type) == (400, "application/json")
    assert "Location" not in answer.headers
    if method == "get":
        assert answer.json["error"] == "unsupported_response_type"
        assert "client_credentials" in answer.json["error_description"]


def test_the_authorization_endpoint_has_a_page_for_people(world):
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = world.http.get("/oauth/authorize?response_type=code&state=<script>", headers={"Accept": browser})
    assert (answer.status_code, answer.content_type) == (400, "text/html; charset=utf-8")
    assert "No grant of this server uses the authorization endpoint" in answer.text
    assert "<script>" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert world.http.post("/oauth/authorize").status_code == 405
