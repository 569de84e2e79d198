"""POST introspect: STANDARDS.md section 3.4, and the validation duties V-01 to V-17 with the server's own keys."""

import json
import math

import jwt
import pytest

from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import users as user_actions
from authserver.oauth.introspection_endpoint import wants_signed
from keys.keyring import State
from keys.material import make
from tests.support.wsgi_client import (
    BACKENDS,
    WRONG_SECRET,
    active_key,
    b64,
    basic,
    forged,
    noted,
    opened,
    parts,
    recorded,
    signed,
    throttled,
    unb64,
    unlimited,
)

ENDPOINT = "/oauth/introspect"
SIGNED = "application/token-introspection+jwt"
INACTIVE = b'{"active":false}'


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("introspection"))


def visible_part(answer):
    return answer.status, tuple(sorted(answer.headers.items())), answer.data


def dead(world, token):
    """Check that the answer is the one inactive answer (I-05, I-06)."""
    answer = world.introspect(token)
    assert answer.status_code == 200, answer.text
    assert answer.data == INACTIVE
    assert visible_part(answer) == visible_part(world.introspect("x"))
    return True


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "TRACE"])
def test_I_01_only_post(world, method):
    answer = world.http.open(ENDPOINT, method=method, headers={"Authorization": basic(*world.api)})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_I_01_never_in_the_url(world):
    token = world.access_token()
    answer = world.post(f"{ENDPOINT}?token={token}", {}, world.api)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["none", "wrong", "unknown", "id only", "bearer", "client", "malformed"])
def test_I_02_I_09_the_caller_must_be_a_resource_server(world, kind):
    token = world.access_token()
    form, headers = {"token": token}, {}
    who = {
        "wrong": (world.api[0], world.client[1].replace("acs_", "acv_")),
        "unknown": ("00000000-0000-4000-8000-000000000001", world.api[1]),
        "client": world.client,
        "malformed": (world.api[0], world.api[1][:-1]),
    }.get(kind)
    if kind == "id only":
        form["client_id"] = world.api[0]
    if kind == "bearer":
        headers["Authorization"] = f"Bearer {token}"
    answer = world.post(ENDPOINT, form, who, **headers)
    assert answer.status_code == 401
    assert answer.json["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert answer.headers["Cache-Control"] == "no-store"


def test_I_02_all_failures_look_alike(world):
    api = resource_server_actions.register_resource_server(
        world.accounts, "off", "https://off.example.com", pepper=world.store.pepper, **world.who
    )
    resource_server_actions.disable_resource_server(world.accounts, api.server.client_id, **world.who)
    cases = {
        "credential_disabled": (api.server.client_id, api.secret),
        "wrong_secret": (world.api[0], api.secret),
        "unknown_client": ("00000000-0000-4000-8000-000000000001", api.secret),
        "malformed_secret": (world.api[0], "acv_x"),
    }
    with noted(world) as notes:
        assert len({visible_part(world.introspect("x", case)) for case in cases.values()}) == 1
    assert [note["reason"] for note in notes] == list(cases)


def test_I_02_body_credentials_work_too(world):
    form = {"token": world.access_token(), "client_id": world.api[0], "client_secret": world.api[1]}
    assert world.post(ENDPOINT, form).json["active"] is True


def test_I_03_the_token_is_needed_once(world):
    for body in ("", "token=", "token_type_hint=x", "token=a&token=b", "token=a&token="):
        answer = world.http.post(
            ENDPOINT,
            data=body,
            content_type="application/x-www-form-urlencoded",
            headers={"Authorization": basic(*world.api)},
        )
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), body
    assert world.post(ENDPOINT, {"x": "y"}).status_code == 401


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unknown", "", 'a"b'])
def test_I_04_T_081_the_hint_changes_nothing(world, hint):
    token = world.access_token()
    assert world.introspect(token, token_type_hint=hint).data == world.introspect(token).data
    assert world.introspect("garbage", token_type_hint=hint).data == INACTIVE


def endings(world):
    """One way to die each: name -> what to do to a credential whose token was live."""
    accounts, who = world.accounts, world.who

    def revoked(client, token):
        assert world.post("/oauth/revoke", {"token": token}, client).status_code == 200

    def changed(_client, _token):
        user_actions.grant(accounts, "eve", "builder", **who)

    return {
        "revoked": revoked,
        "disabled": lambda client, _: credentials.disable(accounts, client[0], **who),
        "deleted": lambda client, _: credentials.delete(accounts, client[0], **who),
        "secret": lambda client, _: credentials.regenerate(accounts, client[0], 0, pepper=world.store.pepper, **who),
        "roles": changed,
        "owner": lambda *_: user_actions.disable(accounts, "eve", **who),
    }


def test_I_05_I_06_every_inactive_answer_is_the_same(world):
    user_actions.create_user(world.accounts, "eve", ["reader"], **world.who)
    for name, end in endings(world).items():
        client = world.credential(owner="eve", roles=("reader",))
        token = world.access_token(client)
        assert world.active(token), name
        end(client, token)
        assert dead(world, token), name
    idle, short = world.access_token(), world.access_token(world.credential(days=1))
    world.clock.at += 30 * 60
    assert dead(world, idle)
    world.clock.at += 86400
    assert dead(world, short)
    for text in ("garbage", " ", "a.b.c", "é", "\U0001f600", world.client[0], "0" * 8000):
        assert dead(world, text)


def test_I_05_I_08_only_the_audience_may_ask(world):
    other = resource_server_actions.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    token = world.access_token()
    answer = world.introspect(token, (other.server.client_id, other.secret))
    assert answer.data == INACTIVE
    theirs = world.access_token(resource="https://other.example.com")
    assert dead(world, theirs)
    assert world.introspect(theirs, (other.server.client_id, other.secret)).json["active"] is True
    assert world.active(token)


def test_I_07_the_members_agree_with_the_token(world):
    token = world.access_token()
    claims = parts(token)[1]
    told = world.introspect(token).json
    assert told.pop("active") is True
    assert told.pop("token_type") == "Bearer"
    assert told.pop("idle_expires_at") == world.clock.at + 30 * 60
    assert told.pop("lease_seconds") == 0
    names = {"iss", "aud", "sub", "client_id", "act", "scope", "roles", "role_version", "iat", "exp", "jti"}
    assert told == {name: claims[name] for name in names}


def test_I_11_nobody_may_keep_an_answer(world):
    for token, cache in ((world.access_token(), "private, max-age=0, no-store"), ("x", "no-store")):
        headers = world.introspect(token).headers
        assert (headers["Cache-Control"], headers["Pragma"]) == (cache, "no-cache")


def asked(world, token, accept=SIGNED, api=None):
    return world.post(ENDPOINT, {"token": token}, api or world.api, Accept=accept)


def verified(world, answer, audience="https://api.example.com"):
    """Check a signed answer with the published keys; its claims."""
    assert answer.content_type == SIGNED
    header = jwt.get_unverified_header(answer.text)
    assert header["typ"] == "token-introspection+jwt"
    jwk = next(k for k in world.http.get("/.well-known/jwks.json").json["keys"] if k["kid"] == header["kid"])
    return jwt.decode(
        answer.text, jwt.PyJWK(jwk), algorithms=[jwk["alg"]], audience=audience, options={"verify_iat": False}
    )


def test_I_12_signed_answers(world):
    token = world.access_token()
    claims = verified(world, asked(world, token))
    assert set(claims) == {"iss", "aud", "iat", "token_introspection"}
    assert claims["iss"] == parts(token)[1]["iss"]
    assert claims["iat"] == world.clock.at
    assert claims["token_introspection"] == world.introspect(token).json
    assert verified(world, asked(world, "x"))["token_introspection"] == {"active": False}


def test_I_12_signed_inactive_answers_are_all_alike(world):
    ended = world.access_token()
    world.post("/oauth/revoke", {"token": ended}, world.client)
    responses = {
        visible_part(asked(world, token)) for token in (ended, "x", forged(world, aud="https://other.example.com"))
    }
    assert len(responses) == 1


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/html", f"{SIGNED};q=0", "application/*"])
def test_I_12_everybody_else_gets_json(world, accept):
    assert asked(world, world.access_token(), accept).content_type == "application/json"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (SIGNED, True),
        (SIGNED.upper(), True),
        (f"{SIGNED}, application/json;q=0.5", True),
        (f"application/json, {SIGNED};q=0.1", False),
        (f"application/json;q=0.9,{SIGNED} ; q=0.9", True),
        (f"*/*, {SIGNED};q=0.5", True),
        (f"{SIGNED};q=0.0, */*", False),
        (f"{SIGNED};q=nonsense", False),
        (f"{SIGNED};q=nan", False),
        (f"{SIGNED};q=", False),
        (f"{SIGNED};v=1", True),
        (f"{SIGNED}x", False),
        (f"x{SIGNED}", False),
        (",,;;=,", False),
    ],
)
def test_I_12_accept_is_read_as_http_says(accept, wanted):
    assert wants_signed(accept) is wanted


@pytest.mark.parametrize("alg", ["RS256", "EdDSA"])
def test_I_14_the_algorithm_of_the_resource_server(world, alg):
    key = make(alg, world.services.master())
    world.store.keys.add(key, "test", world.clock.at)
    world.store.keys.activate(key.kid, "test", world.clock.at)
    audience = f"https://{alg.lower()}.example.com"
    api = resource_server_actions.register_resource_server(
        world.accounts, alg, audience, pepper=world.store.pepper, token_alg=alg, **world.who
    )
    answer = asked(world, world.access_token(resource=audience), api=(api.server.client_id, api.secret))
    assert verified(world, answer, audience)["token_introspection"]["active"] is True
    assert jwt.get_unverified_header(answer.text)["alg"] == alg
    assert (
        alg
        in world.http.get("/.well-known/oauth-authorization-server").json["introspection_signing_alg_values_supported"]
    )


def test_I_15_asking_about_a_dead_token_never_revives_it(world):
    token = world.access_token()
    world.clock.at += 30 * 60
    for _ in range(3):
        assert dead(world, token)
    world.clock.at -= 20 * 60
    assert dead(world, token)
    world.clock.at += 20 * 60


def test_I_16_the_answer_flips_with_the_role_change(world):
    user_actions.create_user(world.accounts, "flip", ["reader"], **world.who)
    token = world.access_token(world.credential(owner="flip", roles=("reader",)))
    assert world.active(token)
    user_actions.grant(world.accounts, "flip", "writer", **world.who)
    assert dead(world, token)


def test_what_was_called_is_cleaned(world):
    seen = []
    usage = type(world.store.usage)
    before = usage.used

    def used(self, *args, method, route, **options):
        seen.append((method, route))
        before(self, *args, method=method, route=route, **options)

    usage.used = used
    try:
        token = world.access_token()
        for method, route in (
            ("get", "/orders/{id}"),
            ("G\r\nET", "/a\u2028b\x1b[0m\u202e?token=secret#x"),
            ("X" * 99, "/" + "r" * 999),
            ("", ""),
        ):
            assert world.introspect(token, http_method=method, http_route=route).json["active"]
    finally:
        usage.used = before
    assert seen == [("GET", "/orders/{id}"), ("", "/ab[0m"), ("", "/" + "r" * 199), ("", "")]


def test_INV_25_the_database_away_is_503_never_inactive(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    token = world.access_token()

    def away(*_args, **_kwargs):
        raise Unavailable

    monkeypatch.setattr(type(world.store.hot_path), "introspection_facts", away)
    for text in (token, "garbage"):
        answer = world.introspect(text)
        assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")


def test_a_death_that_cannot_be_written_is_not_told(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    token = world.access_token()
    world.clock.at += 30 * 60

    def away(*_args, **_kwargs):
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store.sessions), "end", away)
        assert world.introspect(token).status_code == 503
    assert dead(world, token)


def test_probing_is_slowed_and_good_tokens_are_not(world):
    try:
        throttled(world, per_resource_server=20)
        good, ended = world.access_token(), world.access_token()
        world.post("/oauth/revoke", {"token": ended}, world.client)
        for _ in range(20):
            assert world.introspect("random").data == INACTIVE
        answer = world.introspect("random")
        assert (answer.status_code, answer.json["error"]) == (429, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert world.active(good)
        assert world.introspect(ended).data == INACTIVE
    finally:
        unlimited(world)


# --- V-01 .. V-17: odd tokens, signed with the right key ----------------------------------


def test_V_00_a_forged_token_that_is_not_changed_is_active(world):
    assert world.active(forged(world))


@pytest.mark.parametrize(
    "typ", [None, "JWT", "id_token", "secevent+jwt", "statuslist+jwt", "token-introspection+jwt", "AT+JWT", "", 1, []]
)
def test_V_01_typ(world, typ):
    header, claims = parts(world.access_token())
    assert dead(world, signed(world, {**header, "typ": typ}, claims))
    del header["typ"]
    assert dead(world, signed(world, header, claims))


def test_V_01_a_signed_answer_is_no_access_token(world):
    assert dead(world, asked(world, world.access_token()).text)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, "HS256", "RS256", "ES384", "es256", 256])
def test_V_02_V_03_another_algorithm(world, alg):
    header, claims = parts(world.access_token())
    assert dead(world, signed(world, {**header, "alg": alg}, claims))
    head = b64(json.dumps({**header, "alg": alg}).encode())
    body = b64(json.dumps(claims).encode())
    assert dead(world, f"{head}.{body}.")
    assert dead(world, f"{head}.{body}")


def test_V_03_hmac_with_the_public_key(world):
    import hmac

    header, claims = parts(world.access_token())
    text = f"{b64(json.dumps({**header, 'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
    public = active_key(world).public_jwk
    for secret in (public.encode(), json.loads(public)["x"].encode(), b"", b"\0", b" "):
        assert dead(world, f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}")


@pytest.mark.parametrize(
    "kid", ["unknown", "' OR 1=1 --", "*)(uid=*", "../../etc/passwd", "/dev/null", "", None, 1, [], {}, "\0", "\ud800"]
)
def test_V_05_kid(world, kid):
    header, claims = parts(world.access_token())
    assert dead(world, signed(world, {**header, "kid": kid}, claims))
    del header["kid"]
    assert dead(world, signed(world, header, claims))


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "EC"}},
        {"jku": "http://127.0.0.1:1/"},
        {"x5c": ["x"]},
        {"x5u": "http://127.0.0.1:1/"},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_V_06_V_07_V_08_header_parameters(world, extra):
    assert dead(world, forged(world, header=extra))


def test_V_09_other_forms_and_spellings(world):
    token = world.access_token()
    header, claims, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = last[last.index(signature[-1]) ^ 1]
    for text in (
        json.dumps({"payload": claims, "signatures": [{"protected": header, "signature": signature}]}),
        json.dumps({"payload": claims, "protected": header, "signature": signature}),
        f"{header}.{claims}",
        f"{token}.",
        f"{token}.x",
        f"{token}.x.y",
        f" {token}",
        f"{token}\n",
        f"{token} ",
        f"{token}=",
        f"{token}==",
        f"{header}.{claims}=.{signature}",
        f"{token}!!!!",
        f"{header}\n.{claims}.{signature}",
        f"{header}.{claims}.{signature[:-1]}{other}",
        f"{header}.{claims}.{signature[:-1]}",
        f"{header}.{claims}.{signature.replace('-', '+').replace('_', '/')}~",
        f"Bearer {token}",
        "." * 5000,
    ):
        assert dead(world, text)
    assert world.active(token)


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", ["9999999999", True, None, -1, 1.5, 1e400, math.nan, [], {}, 0, 10**40, "x"])
def test_V_10_dates_that_are_none(world, name, value):
    assert dead(world, forged(world, **{name: value}))


def test_V_10_numbers_written_otherwise(world):
    header, claims = parts(world.access_token())
    text = json.dumps(claims)
    for written in ("1e400", "-Infinity", "NaN", "1.8e9", "0x10", f"{claims['exp']}.0", "9" * 5000):
        assert dead(world, signed(world, header, text.replace(str(claims["exp"]), written).encode()))


def test_V_11_from_the_future(world):
    now = world.clock.at
    assert dead(world, forged(world, iat=now + 60))
    assert dead(world, forged(world, nbf=now + 60))
    assert dead(world, forged(world, nbf=now - 60))


@pytest.mark.parametrize("iss", ["http://127.0.0.1:8000/", "HTTP://127.0.0.1:8000", "http://e.example", "", None, []])
def test_V_12_issuer(world, iss):
    assert dead(world, forged(world, iss=iss))


@pytest.mark.parametrize(
    "aud",
    [
        [],
        "",
        None,
        {},
        ["https://api.example.com"],
        [["https://api.example.com"]],
        "https://other.example.com",
        "https://api.example.com/",
        ["https://api.example.com", *(f"https://x{number}.example.com" for number in range(100))],
    ],
)
def test_V_13_audience(world, aud):
    assert dead(world, forged(world, aud=aud))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "client_id", "act", "scope", "roles", "jti", "iat", "exp"])
def test_V_13_a_missing_claim(world, name):
    assert dead(world, forged(world, without=[name]))


def test_V_14_duplicate_members(world):
    header, claims = parts(world.access_token())
    text = json.dumps(claims)
    assert dead(world, signed(world, header, f'{{"scope":"reader",{text[1:]}'.encode()))
    assert dead(world, signed(world, f'{{"kid":"x",{json.dumps(header)[1:]}'.encode(), claims))


def test_V_14_T_023_json_that_is_none(world):
    header, claims = parts(world.access_token())
    text = json.dumps(claims)
    for raw in (
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        text[:-1].encode() + b",}",
        text.encode() + b"x",
        b"/**/" + text.encode(),
        text[:-1].encode() + b"\xff}",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"[" * 3000 + b"]" * 3000,
        b"",
        b" ",
    ):
        assert dead(world, signed(world, header, raw)), raw[:20]
    assert dead(world, signed(world, b"[]", claims))
    assert dead(world, signed(world, b'"at+jwt"', claims))


@pytest.mark.parametrize("value", ["\ud800", "a\0b", "\u202e", "", "x" * 5000, 5, None, {"a": 1}])
@pytest.mark.parametrize("name", ["jti", "client_id", "sub", "scope"])
def test_V_14_strings_that_no_token_of_ours_has(world, name, value):
    assert dead(world, forged(world, **{name: value}))


@pytest.mark.parametrize("value", [10**30, -(10**30), -1, 1.0, True, "1", None])
def test_V_10_versions_that_are_none(world, value):
    claims = parts(world.access_token())[1]
    assert dead(world, forged(world, role_version=value))
    for name in ("credential_version", "epoch"):
        assert dead(world, forged(world, standing={**claims["standing"], name: value}))
    assert dead(world, forged(world, standing=value))


def test_V_15_keys_that_may_not_sign(world):
    """A staged, a removed and a compromised key; a retired one may have signed what still lives."""
    keys, at = world.store.keys, world.clock.at
    alg = "PS256"
    made = [make(alg, world.services.master()) for _ in range(3)]
    signers = {}
    from keys.material import unseal

    for key in made:
        keys.add(key, "test", at)
        signers[key.kid] = unseal(key.kid, alg, key.sealed_private, world.services.master())

    def token(kid):
        header, claims = parts(world.access_token())
        claims["jti"] += "-15"
        text = f"{b64(json.dumps({**header, 'alg': alg, 'kid': kid}).encode())}.{b64(json.dumps(claims).encode())}"
        return recorded(world, f"{text}.{b64(signers[kid](text.encode()))}")

    first, second, third = (key.kid for key in made)
    assert dead(world, token(first))
    keys.activate(first, "test", at)
    live = token(first)
    assert world.active(live)
    keys.activate(second, "test", at)
    assert world.active(live)
    keys.compromise(second, "test", at, None)
    assert {key.kid: key.state for key in keys.ring()}[third] is State.ACTIVE
    assert dead(world, token(second))
    world.clock.at += 31 * 86400
    retired = token(first)
    assert world.active(retired)
    keys.remove(first, "test", world.clock.at)
    assert dead(world, retired)
    assert dead(world, token(first))


def test_V_16_es256_has_one_spelling(world):
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = world.access_token()
    text, _, signature = token.rpartition(".")
    raw = unb64(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    second_signer = f"{text}.{b64(raw[:32] + (order - s).to_bytes(32, 'big'))}"
    for other in (
        second_signer,
        f"{text}.{b64(encode_dss_signature(r, s))}",
        f"{text}.{b64(bytes(64))}",
        f"{text}.{b64(raw + bytes(1))}",
        f"{text}.{b64(bytes(1) + raw[:32] + bytes(1) + raw[32:])}",
    ):
        assert dead(world, other)
    assert world.active(token)
    world.post("/oauth/revoke", {"token": token}, world.client)
    assert dead(world, token)
    assert dead(world, second_signer)


@pytest.mark.parametrize("size", [8193, 20_000, 40_000])
def test_V_17_a_token_too_large(world, size):
    assert dead(world, "a" * size)
    assert dead(world, forged(world, scope="x" * size))


def test_V_17_a_megabyte_is_413(world):
    assert world.introspect("a" * 1_000_000).status_code == 413


# --- a call that was parsed before -------------------------------------------------------------------


def test_a_request_whose_rest_was_seen_before_is_judged_as_the_first_was(world):
    """Only the token is read of a request that differs from an earlier one in nothing else."""
    token = world.access_token()
    head = {"Authorization": basic(*world.api), "Content-Type": "application/x-www-form-urlencoded"}

    def ask(body, **more):
        return world.http.post("/oauth/introspect", data=body, headers={**head, **more})

    encoded = "".join(f"%{ord(char):02x}" for char in token)
    cases = {
        f"token={token}&http_method=GET": True,
        f"http_method=GET&token={token}": True,
        f"token={encoded}&http_method=GET": True,
        "token=garbage&http_method=GET": False,
        f"token={token}&token={token}&http_method=GET": 400,
        f"token={token}&http_method=GET&token=": 400,
        "token=&http_method=GET": 400,
        "http_method=GET": 400,
        f"token={token}%00&http_method=GET": 400,
        f"token={token}\0&http_method=GET": 400,
        f"access_token={token}&http_method=GET": 400,
        f"token={token}&http_method=GET&http_method=GET": 400,
        f"token={token}&http_method=%ff": 400,
        f"token={token}&http_method=GET&client_secret={world.api[1]}": 400,
    }
    for _ in range(3):
        for body, expected in cases.items():
            answer = ask(body)
            assert (answer.json["active"] if answer.status_code == 200 else answer.status_code) == expected, body
    good = f"token={token}&http_method=GET"
    assert ask(good, **{"Content-Type": "text/plain"}).status_code == 400
    assert ask(good, Authorization=basic(world.api[0], WRONG_SECRET)).status_code == 401
    assert ask(good, Accept="application/token-introspection+jwt").mimetype == "application/token-introspection+jwt"
    assert ask(good, Accept="application/json").json["active"] is True
    assert world.http.post(f"/oauth/introspect?token={token}", data=good, headers=head).status_code == 400
