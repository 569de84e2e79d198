"""POST token, RFC 9068 tokens, resource indicators and delegation: STANDARDS.md sections 3.1, 3.3 and 3.7."""

import json
import re
import threading

import jwt
import pytest

from authserver.actions import general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.oauth.proxies.peer import ProxyTrust
from tests.support.deadlines import join
from tests.support.wsgi_client import BACKENDS, basic, noted, opened, parts, throttled, unlimited

TOKEN = "/oauth/token"
GRANT = {"grant_type": "client_credentials"}
ALLOWED = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")
REGISTERED = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
}


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("token"))


def refused(answer, status, code):
    """Check the shape that every refusal has (T-29), and the code of this one."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert set(answer.json) == {"error", "error_description"}
    assert answer.json["error"] == code
    assert ALLOWED.fullmatch(answer.json["error_description"])
    return answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"])
def test_T_01_only_post(world, method):
    answer = world.http.open(TOKEN, method=method, data=GRANT, headers={"Authorization": basic(*world.client)})
    refused(answer, 405, "invalid_request")
    assert answer.headers["Allow"] == "POST"


def test_T_01_head_is_405_without_a_body(world):
    answer = world.http.head(TOKEN)
    assert (answer.status_code, answer.data, answer.headers["Allow"]) == (405, b"", "POST")


def test_T_02_plain_http_from_elsewhere_is_refused(world):
    form = {**GRANT, "client_id": world.client[0], "client_secret": world.client[1]}

    def ask(peer, scheme="http", **headers):
        extra = {"REMOTE_ADDR": peer, "wsgi.url_scheme": scheme}
        return world.http.post(TOKEN, data=form, headers=headers, environ_overrides=extra)

    for headers in ({}, {"X-Forwarded-Proto": "https"}, {"Forwarded": "proto=https"}, {"X-Forwarded-Ssl": "on"}):
        refused(ask("203.0.113.9", **headers), 400, "invalid_request")
    assert ask("203.0.113.9", "https").status_code == 200
    assert ask("127.0.0.1").status_code == 200
    assert ask("::1").status_code == 200
    dispatcher = world.http.application
    before = dispatcher._transport
    dispatcher._transport = ProxyTrust(networks("203.0.113.0/24"))
    try:
        assert ask("203.0.113.9", **{"X-Forwarded-Proto": "https"}).status_code == 200
        for headers in ({}, {"X-Forwarded-Proto": "http"}, {"X-Forwarded-Proto": "https, http"}):
            refused(ask("203.0.113.9", **headers), 400, "invalid_request")
        refused(ask("198.51.100.1", **{"X-Forwarded-Proto": "https"}), 400, "invalid_request")
    finally:
        dispatcher._transport = before


def networks(*texts):
    import ipaddress

    return [ipaddress.ip_network(text) for text in texts]


@pytest.mark.parametrize(
    "name", ["grant_type", "scope", "client_id", "client_secret", "client_assertion", "x", "token_type_hint"]
)
@pytest.mark.parametrize("second", ["same", "", "other"])
def test_T_03_a_parameter_twice_is_refused(world, name, second):
    first = {**GRANT, "scope": "reader", "client_id": world.client[0], "client_secret": world.client[1]}
    value = first.pop(name, "v")
    pairs = [*first.items(), (name, value), (name, value if second == "same" else second)]
    body = "&".join(f"{key}={each}" for key, each in pairs)
    answer = world.http.post(TOKEN, data=body, content_type="application/x-www-form-urlencoded")
    refused(answer, 400, "invalid_request")


def test_T_04_an_unknown_parameter_is_ignored(world):
    assert world.token(tenant="x", request_uri="https://127.0.0.1:1/", foo="bar").status_code == 200


def test_T_05_an_empty_value_is_an_absent_one(world):
    assert world.token(scope="", resource="", client_id="").json["scope"] == "reader writer"
    refused(world.token(grant_type=""), 400, "invalid_request")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps(GRANT)),
        ("text/plain", "grant_type=client_credentials"),
        ("multipart/form-data; boundary=b", "--b\r\n\r\n--b--"),
        ("application/x-www-form-urlencoded; charset=iso-8859-1", "grant_type=client_credentials"),
        ("application/x-www-form-urlencoded-not", "grant_type=client_credentials"),
        ("", "grant_type=client_credentials"),
        ("application/x-www-form-urlencoded", b"grant_type=client_credentials&x=\xff"),
        ("application/x-www-form-urlencoded", "grant_type=client_credentials&x=%ff"),
        ("application/x-www-form-urlencoded", "grant_type=client_credentials&x=%c0%80"),
    ],
)
def test_T_06_only_a_form_in_utf8(world, kind, body):
    headers = {"Authorization": basic(*world.client)}
    refused(world.http.post(TOKEN, data=body, content_type=kind, headers=headers), 400, "invalid_request")


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded;charset=UTF-8",
        'Application/X-WWW-Form-Urlencoded; charset="utf-8"',
        "application/x-www-form-urlencoded;",
    ],
)
def test_T_06_a_form_may_name_its_charset(world, kind):
    headers = {"Authorization": basic(*world.client)}
    assert world.http.post(TOKEN, data=b"grant_type=client_credentials", content_type=kind, headers=headers).json


@pytest.mark.parametrize(
    "query", ["grant_type=client_credentials", "scope=reader", "%73cope=reader", "a=1&a=2", "x=%00", "resource=a"]
)
def test_T_06_T_07_nothing_of_ours_in_the_url(world, query):
    refused(world.post(f"{TOKEN}?{query}", GRANT, world.client), 400, "invalid_request")


def test_T_07_credentials_in_the_url_are_not_accepted(world):
    query = f"client_id={world.client[0]}&client_secret={world.client[1]}"
    refused(world.post(f"{TOKEN}?{query}", GRANT), 400, "invalid_request")


@pytest.mark.parametrize("auth", [True, False])
def test_T_08_a_missing_grant_type(world, auth):
    refused(world.post(TOKEN, {"scope": "reader"}, world.client if auth else None), 400, "invalid_request")


@pytest.mark.parametrize("grant", ["password", "implicit", "authorization_code", "CLIENT_CREDENTIALS", 'a"\\b', "ü"])
def test_T_09_E_02_any_other_grant(world, grant):
    refused(world.token(grant_type=grant), 400, "unsupported_grant_type")
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    refused(world.token(grant_type=exchange, subject_token="x"), 400, "unsupported_grant_type")


def test_T_10_who_is_not_registered_for_the_grant(world):
    refused(world.token(world.api), 401, "invalid_client")


def test_T_11_no_authentication(world):
    for form in (GRANT, {**GRANT, "client_id": world.client[0]}, {**GRANT, "client_secret": world.client[1]}):
        answer = refused(world.post(TOKEN, form), 401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("mixed", ["basic+body", "basic+assertion", "body+assertion", "bearer+body"])
def test_T_12_two_mechanisms(world, mixed):
    form, headers = dict(GRANT), {}
    if "basic" in mixed:
        headers["Authorization"] = basic(*world.client)
    if "bearer" in mixed:
        headers["Authorization"] = "Bearer x"
    if "body" in mixed:
        form |= {"client_id": world.client[0], "client_secret": world.client[1]}
    if "assertion" in mixed:
        form |= {"client_assertion": "x", "client_assertion_type": "y"}
    refused(world.post(TOKEN, form, **headers), 400, "invalid_request")


def test_T_13_basic_and_body_both_work(world):
    body = {**GRANT, "client_id": world.client[0], "client_secret": world.client[1]}
    assert world.post(TOKEN, body).status_code == 200
    assert world.token().status_code == 200
    assert world.token(client_id=world.client[0]).status_code == 200


def test_T_14_basic_is_form_decoded(world):
    client, secret = world.client
    assert world.token((client.replace("-", "%2D"), secret.replace("_", "%5f"))).status_code == 200
    everything = "".join(f"%{ord(char):02X}" for char in secret)
    assert world.token((client, everything)).status_code == 200
    for wrong in (f"+{secret}", f"{secret}+", f"%20{secret}", secret.replace("_", "%2B"), f"{secret}%C3%BC"):
        refused(world.token((client, wrong)), 401, "invalid_client")


@pytest.mark.parametrize("scheme", ["bAsIc", "BASIC", "basic"])
def test_T_15_the_scheme_in_any_case(world, scheme):
    header = basic(*world.client).replace("Basic", scheme)
    assert world.post(TOKEN, GRANT, Authorization=header).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Basic", 401),
        ("Basic ", 401),
        ("Basic !!!", 401),
        ("Basic abc", 401),
        ("Basic Y29sb24=", 401),  # no colon
        ("Basic /////w==", 401),  # not UTF-8
        ("Basic YQA6Yg==", 400),  # a NUL
        ("Basic YToA", 400),
        ("Basic YTolMDA=", 400),  # a NUL, form-encoded
        ("Basic YTolZmY=", 401),  # not UTF-8, form-encoded
        ("Basic " + "A" * 6000, 401),
        ("Basic " + "A" * 65536, 431),
        ("Bearer abc", 401),
        ("Digest a=b", 401),
        ("\xfc", 401),
        ("Basic \xfc", 401),
        (basic("a", "b") + "," + basic("c", "d"), 401),
    ],
)
def test_T_16_headers_that_cannot_be_read(world, header, status):
    answer = world.post(TOKEN, GRANT, Authorization=header)
    refused(answer, status, "invalid_client" if status == 401 else "invalid_request")


def test_T_17_a_failed_attempt_is_challenged(world):
    answer = refused(world.token((world.client[0], "wrong")), 401, "invalid_client")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="authserver", charset="UTF-8"'


def test_T_18_INV_29_all_failures_look_alike(world):
    from authserver.actions import credentials

    name = f"bob{world.clock.at}"
    user_actions.create_user(world.accounts, name, ["reader"], **world.who)
    disabled, deleted, ended = world.credential(), world.credential(), world.credential()
    ownerless = world.credential(owner=name, roles=("reader",))
    expired = world.credential(days=1)
    credentials.disable(world.accounts, disabled[0], **world.who)
    credentials.delete(world.accounts, deleted[0], **world.who)
    credentials.regenerate(world.accounts, ended[0], 0, pepper=world.store.pepper, **world.who)
    user_actions.disable(world.accounts, name, **world.who)
    world.clock.at += 86400
    cases = {
        "unknown_client": ("00000000-0000-4000-8000-000000000001", world.client[1]),
        "wrong_secret": (world.client[0], disabled[1]),
        "credential_disabled": disabled,
        "credential_deleted": deleted,
        "secret_ended": ended,
        "owner_disabled": ownerless,
        "credential_expired": expired,
        "malformed_secret": (world.client[0], world.client[1][:-1]),
        "malformed_client_id": (world.client[0].upper(), world.client[1]),
    }
    with noted(world) as notes:
        faces = {face(world, case, method) for case in cases.values() for method in ("basic", "body")}
    assert len(faces) == 1, faces
    assert [note["reason"] for note in notes] == [name for name in cases for _ in range(2)]
    assert all(note["outcome"] == "invalid_client" for note in notes)
    assert all(note.get("client") == case[0] for note, case in zip(notes[:-2:2], cases.values(), strict=False))
    assert "client" not in notes[-1]


def face(world, case, method):
    if method == "basic":
        answer = world.token(case)
    else:
        answer = world.post(TOKEN, {**GRANT, "client_id": case[0], "client_secret": case[1]})
    return answer.status, tuple(answer.headers.items()), answer.data


def test_T_19_failures_are_slowed_and_nobody_else(world):
    try:
        tick = throttled(world, per_client=5)
        other = world.credential()
        for _ in range(5):
            refused(world.token((world.client[0], "wrong")), 401, "invalid_client")
        answer = refused(world.token((world.client[0], "wrong")), 429, "invalid_client")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert world.token().status_code == 200
        refused(world.token((other[0], "wrong")), 401, "invalid_client")
        tick.at += int(answer.headers["Retry-After"])
        refused(world.token((world.client[0], "wrong")), 401, "invalid_client")
    finally:
        unlimited(world)


def test_T_20_T_21_T_22_a_success(world):
    answer = world.token(scope="reader")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["token_type"] == "Bearer"
    assert isinstance(answer.json["expires_in"], int)
    assert answer.json["scope"] == "reader"
    assert world.token().json["scope"] == "reader writer"


@pytest.mark.parametrize(
    "scope",
    ['a"b', "a\\b", "reader\twriter", "reader\x01", "r\u00ebader", " ", "  ", "reader\n", " reader  writer "],
)
def test_T_23_scope_syntax(world, scope):
    refused(world.token(scope=scope), 400, "invalid_scope")


@pytest.mark.parametrize("scope", ["writer reader", "reader writer reader"])
def test_T_23_order_and_repeats_do_not_matter(world, scope):
    assert world.token(scope=scope).json["scope"] == "reader writer"


def test_T_24_omitted_scope_is_all_that_can_be_had_and_says_so(world):
    answer = world.token(world.credential(roles=("writer", "reader", "builder"))).json
    assert answer["scope"] == "builder reader writer"
    assert parts(answer["access_token"])[1]["scope"] == answer["scope"]


@pytest.mark.parametrize("scope", ["builder", "reader builder", "nothing", "READER"])
def test_T_25_a_role_that_is_not_to_be_had(world, scope):
    refused(world.token(scope=scope), 400, "invalid_scope")


def test_T_26_nothing_submitted_is_reflected(world):
    nasty = 'NEEDLE"\\\x7f\x1b[31mNEEDLE\r\nNEEDLEü'
    for form in (
        {"grant_type": nasty},
        {"scope": nasty},
        {"resource": nasty},
        {"client_id": nasty},
        {nasty: "x", "grant_type": ""},
    ):
        answer = world.token(**form)
        assert answer.status_code in {200, 400}
        assert b"NEEDLE" not in answer.data
        assert "NEEDLE" not in str(answer.headers)


def test_T_27_client_id_in_the_body_must_be_the_one_that_authenticates(world):
    refused(world.token(client_id=world.credential()[0]), 400, "invalid_request")


def test_T_28_secrets_and_token_ids_cannot_be_guessed(world):
    secrets = {world.credential()[1] for _ in range(10)}
    assert all(re.fullmatch(r"acs_[0-9A-Za-z]{46}", secret) for secret in secrets)
    assert len(parts(world.access_token())[1]["jti"]) * 6 >= 128


def test_T_29_the_aliases_are_one_door(world):
    for path in ("/OAuth/Token", "/Auth/OAuth/Token", "/OAUTH/TOKEN", "/auth/oauth/tOKEN"):
        assert world.post(path, GRANT, world.client).status_code == 200, path


@pytest.mark.parametrize("path", ["/oauth/token/", "/oauth/tokens", "/oauth/", "/Auth/OAuth/x", "/oauth/introspect/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_T_29_what_is_not_there_is_json_too(world, path, method):
    refused(world.http.open(path, method=method, data=GRANT), 404, "invalid_request")


def test_T_29_too_large_is_json_too(world):
    answer = world.token(x="a" * 65536)
    refused(answer, 413, "invalid_request")
    refused(world.post(TOKEN, GRANT, world.client, **{"X-Big": "a" * 17000}), 431, "invalid_request")
    many = "&".join(f"p{number}=1" for number in range(60))
    refused(world.http.post(TOKEN, data=many, content_type="application/x-www-form-urlencoded"), 400, "invalid_request")


def test_T_29_a_database_that_is_away_is_503(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    def away(*_args):
        msg = "the database at 10.1.2.3 cannot be reached"
        raise Unavailable(msg)

    monkeypatch.setattr(type(world.store.hot_path), "issue_facts", away)
    answer = refused(world.token(), 503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "10.1.2.3" not in answer.text


def test_T_29_an_unexpected_fault_is_500_and_tells_nothing(world, monkeypatch):
    def broken(*_args):
        msg = f"cannot work with {world.client[1]}"
        raise RuntimeError(msg)

    monkeypatch.setattr(type(world.store.hot_path), "issue_facts", broken)
    with noted(world) as notes:
        answer = refused(world.token(), 500, "server_error")
    assert world.client[1] not in answer.text
    assert notes[0]["detail"].startswith("RuntimeError at ")
    assert world.client[1] not in str(notes)


def test_T_30_no_cors_and_no_redirects(world):
    for path in (TOKEN, "/oauth/introspect", "/oauth/revoke"):
        answer = world.post(path, GRANT, world.client, Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Location" not in answer.headers
        assert world.http.options(path, headers={"Origin": "https://evil.example"}).status_code == 405


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "\u00b2", "9" * 5000, "65537", " 5"])
def test_T_16_a_length_that_is_none(world, length):
    answer = world.http.post(TOKEN, data=b"grant_type=x", environ_overrides={"CONTENT_LENGTH": length})
    refused(answer, 413, "invalid_request")


def test_T_16_a_body_that_ends_early(world):
    kind = {"content_type": "application/x-www-form-urlencoded"}
    answer = world.http.post(TOKEN, data=b"grant_type=x", environ_overrides={"CONTENT_LENGTH": "99"}, **kind)
    refused(answer, 400, "invalid_request")


def test_T_16_a_body_without_a_length_is_read_to_its_marked_end_only(world):
    class Endless:
        def read(self, size=-1):
            assert size >= 0
            return b"a" * size

    def ask(stream, **environ):
        kind = "application/x-www-form-urlencoded"
        extra = {"CONTENT_LENGTH": "", "wsgi.input": stream, **environ}
        headers = {"Authorization": basic(*world.client)}
        return world.http.post(TOKEN, content_type=kind, environ_overrides=extra, headers=headers)

    refused(ask(Endless(), **{"wsgi.input_terminated": True}), 413, "invalid_request")
    refused(ask(Endless()), 400, "invalid_request")

    class Pieces:
        def __init__(self):
            self.left = [b"grant_type", b"=client_", b"credentials"]

        def read(self, _size=-1):
            return self.left.pop(0) if self.left else b""

    assert ask(Pieces(), **{"wsgi.input_terminated": True}).status_code == 200


# --- the token itself -------------------------------------------------------------------


def test_J_01_J_03_J_09_header_and_claims(world):
    answer = world.token().json
    header, claims = parts(answer["access_token"])
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": header["kid"]}
    assert all(isinstance(claims[name], str) for name in ("iss", "aud", "sub", "client_id", "jti", "scope"))
    assert all(type(claims[name]) is int for name in ("iat", "exp", "role_version"))
    assert claims["exp"] - claims["iat"] == answer["expires_in"]
    assert claims["iat"] == world.clock.at


@pytest.mark.parametrize("alg", ["RS256", "PS256", "EdDSA"])
def test_J_02_other_algorithms_per_resource_server(world, alg):
    from keys.material import make

    audience = f"https://{alg.lower()}.example.com"
    key = make(alg, world.services.master())
    world.store.keys.add(key, "test", world.clock.at)
    world.store.keys.activate(key.kid, "test", world.clock.at)
    resource_server_actions.register_resource_server(
        world.accounts, alg, audience, pepper=world.store.pepper, token_alg=alg, **world.who
    )
    token = world.access_token(resource=audience)
    assert parts(token)[0]["alg"] == alg
    jwk = next(jwk for jwk in world.http.get("/.well-known/jwks.json").json["keys"] if jwk["kid"] == key.kid)
    assert jwt.decode(token, jwt.PyJWK(jwk), algorithms=[alg], audience=audience, options={"verify_iat": False})


def test_J_04_the_issuer_is_the_published_one(world):
    issuer = parts(world.access_token())[1]["iss"]
    for place in ("oauth-authorization-server", "openid-configuration"):
        assert world.http.get(f"/.well-known/{place}").json["issuer"] == issuer


def test_J_05_A_02_A_03_the_audience(database_url):
    from tests.conftest import World

    world = World(database_url)
    try:
        assert parts(world.access_token())[1]["aud"] == "https://api.example.com"
        resource_server_actions.register_resource_server(
            world.accounts, "two", "https://two.example.com", pepper=world.store.pepper, **world.who
        )
        refused(world.token(), 400, "invalid_target")
        assert parts(world.access_token(resource="https://two.example.com"))[1]["aud"] == "https://two.example.com"
        general_settings.set_general(world.accounts, "default_audience", "https://two.example.com", **world.who)
        assert parts(world.access_token())[1]["aud"] == "https://two.example.com"
        assert parts(world.access_token(resource="https://api.example.com"))[1]["aud"] == "https://api.example.com"
    finally:
        world.services.close()


@pytest.mark.parametrize(
    "resource",
    [
        "https://unknown.example.com",
        "https://api.example.com#part",
        "/relative",
        "api",
        "https://api.example.com/",
        "HTTPS://API.EXAMPLE.COM",
        "https://api.example.com https://api.example.com",
        "x" * 5000,
        "\ufffd",
        "https://[",
    ],
)
def test_A_01_A_02_a_resource_that_is_none(world, resource):
    refused(world.token(resource=resource), 400, "invalid_target")


def test_A_02_J_06_J_17_a_token_is_for_one_resource(world):
    body = "grant_type=client_credentials&resource=https://api.example.com&resource=https://api.example.com"
    headers = {"Authorization": basic(*world.client)}
    kind = "application/x-www-form-urlencoded"
    refused(world.http.post(TOKEN, data=body, content_type=kind, headers=headers), 400, "invalid_target")


def test_J_07_J_08_J_18_E_01_roles_and_delegation(world):
    claims = parts(world.access_token())[1]
    owner = world.accounts.user("ada")
    assert claims["scope"] == "reader writer"
    assert claims["roles"] == ["reader", "writer"]
    assert claims["role_version"] == owner.role_version
    assert claims["sub"] == owner.id
    assert claims["act"] == {"sub": claims["client_id"]} == {"sub": world.client[0]}


def test_J_10_token_ids_never_repeat(world):
    found: list[str] = []
    dispatcher = world.http.application

    def ask():
        from werkzeug.test import Client

        http = Client(dispatcher)
        headers = {"Authorization": basic(*world.client)}
        for _ in range(200):
            answer = http.post(TOKEN, data=GRANT, headers=headers)
            found.append(parts(json.loads(answer.data)["access_token"])[1]["jti"])
        world.store.thread_connections.drop()

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        join(thread)
    assert len(set(found)) == 1000


def test_J_11_the_key_is_published_for_its_one_algorithm(world):
    header, _ = parts(world.access_token())
    key = next(key for key in world.http.get("/.well-known/jwks.json").json["keys"] if key["kid"] == header["kid"])
    assert (key["alg"], key["use"]) == (header["alg"], "sig")


def test_J_12_es256_is_deterministic(world):
    from tests.support.wsgi_client import signed

    assert signed(world, {"a": 1}, {"b": 2}) == signed(world, {"a": 1}, {"b": 2})


def test_J_13_users_and_clients_have_different_names(world):
    claims = parts(world.access_token())[1]
    assert claims["sub"].startswith("usr_")
    assert re.fullmatch(r"[0-9a-f-]{36}", claims["client_id"])


def test_J_14_J_16_no_id_token_and_nothing_personal(world):
    user_actions.create_user(world.accounts, "grace.hopper", ["reader"], **world.who)
    claims = parts(world.access_token(world.credential(owner="grace.hopper", roles=("reader",))))[1]
    assert not {"nonce", "azp", "auth_time", "email", "name", "preferred_username"} & set(claims)
    assert "grace" not in json.dumps(claims)


def test_J_15_fifty_roles_in_4_kb_and_never_more_than_we_read(world):
    names = [f"department-{number:02}.read" for number in range(50)]
    long = [f"role-{number:02}-".ljust(64, "x") for number in range(50)]
    for name in (*names, *long):
        role_actions.create_role(world.accounts, name, "operational", (), **world.who)
    user_actions.create_user(world.accounts, "many", [*names, *long], **world.who)
    token = world.access_token(world.credential(owner="many", roles=names))
    assert len(token) <= 4096
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", token)
    assert world.active(token)
    client = world.credential(owner="many", roles=long)
    refused(world.token(client), 400, "invalid_scope")
    assert world.active(world.access_token(client, scope=" ".join(long[:25])))


def test_audience_is_a_synonym_of_resource(world):
    api = "https://api.example.com"
    other = "https://other-synonym.example.com"
    resource_server_actions.register_resource_server(
        world.accounts, "synonym", other, pepper=world.store.pepper, **world.who
    )
    for form in ({"audience": other}, {"audience": other, "resource": other}):
        assert parts(world.access_token(**form))[1]["aud"] == other
    assert parts(world.access_token(resource=api))[1]["aud"] == api
    answer = world.token(audience=other, resource=api)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_target")
    assert "resource or as audience" in answer.json["error_description"]
    assert world.token(audience="https://nowhere.example").json["error"] == "invalid_target"
    stranger = world.token((world.client[0], "acs_" + "0" * 43), audience=other, resource=api)
    assert stranger.json["error"] == "invalid_client"  # what was asked for is judged for the rightful client alone
