"""private_key_jwt at the token and revocation endpoints (RFC 7523 §2.2, RFC 7521 §4.2, rfc7523bis)."""

import base64
import hmac
import json
import threading

import pytest

from authserver.actions import client_keys, credentials, general_settings
from authserver.actions import users as user_actions
from authserver.actions.preconditions.client_keys import public_key
from authserver.ports.errors import Conflict, Invalid, NotFound, Unavailable
from tests.support.assertions import ALGORITHMS, TYPE, Signer, assertion, claims, form, registered, token
from tests.support.deadlines import join
from tests.support.wsgi_client import BACKENDS, b64, basic, noted, opened, parts


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    for world in opened(request.param, tmp_path_factory.mktemp("assertions")):
        general_settings.set_general(world.accounts, "max_credentials_per_user", "1000", **world.who)
        yield world


@pytest.fixture
def client(world):
    """A credential with a key; the pair of its client id and what signs for it."""
    signer = Signer()
    client_id, _ = world.credential()
    registered(world, client_id, signer)
    return client_id, signer


def refused(world, text, reason, **more):
    """The one face of every failure, and the true reason for the log."""
    with noted(world) as notes:
        answer = token(world, text, **more)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.json["error_description"] == (
        "Unknown client, wrong secret, or the credential is disabled or expired."
    )
    assert notes[-1]["reason"] == reason, notes
    return answer


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_gets_a_token_that_lives(world, alg):
    signer = Signer(alg)
    client_id, _ = world.credential()
    registered(world, client_id, signer)
    answer = token(world, assertion(world, client_id, signer))
    assert answer.status_code == 200, answer.text
    assert parts(answer.json["access_token"])[1]["client_id"] == client_id
    assert world.active(answer.json["access_token"])


def test_ed25519_by_its_newer_name(world):
    signer = Signer("EdDSA")
    client_id, _ = world.credential()
    registered(world, client_id, signer)
    assert token(world, assertion(world, client_id, signer, {"alg": "Ed25519"})).status_code == 200


@pytest.mark.parametrize("typ", ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"])
def test_T_051_types_that_an_assertion_may_have(world, client, typ):
    assert token(world, assertion(world, *client, {"typ": typ})).status_code == 200


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "secevent+jwt", "token-introspection+jwt", "statuslist+jwt"])
def test_T_051_types_of_other_jwts(world, client, typ):
    refused(world, assertion(world, *client, {"typ": typ}), "assertion_type")


def test_the_client_id_may_stand_beside_it_when_it_is_the_same(world, client):
    assert token(world, assertion(world, *client), client_id=client[0]).status_code == 200
    refused(world, assertion(world, *client), "assertion_subject", client_id=world.client[0])


@pytest.mark.parametrize(
    "audience",
    [
        "{issuer}/oauth/token",
        "{issuer}/",
        "https://other.example.com",
        ["{issuer}"],
        ["{issuer}", "https://other.example.com"],
        [],
        "",
        None,
        {},
        1,
        [["{issuer}"]],
    ],
)
def test_T_051_the_audience_is_our_issuer_as_one_text(world, client, audience):
    def filled(value):
        if isinstance(value, str):
            return value.format(issuer=world.services.issuer)
        return [filled(each) for each in value] if isinstance(value, list) else value

    refused(world, assertion(world, *client, aud=filled(audience)), "assertion_audience")
    refused(world, assertion(world, *client, without=("aud",)), "assertion_audience")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": -1}, "assertion_expired"),
        ({"exp": 0}, "assertion_expired"),
        ({"exp": 3700}, "assertion_too_long"),
        ({"exp": 60, "iat": -3600}, "assertion_too_long"),
        ({"iat": 30}, "assertion_from_the_future"),
        ({"nbf": 30}, "assertion_from_the_future"),
        ({"nbf": 3600}, "assertion_from_the_future"),
    ],
)
def test_the_time_of_an_assertion(world, client, changed, reason):
    moved = {name: world.clock.at + seconds for name, seconds in changed.items()}
    refused(world, assertion(world, *client, **moved), reason)


def test_F_05_a_clock_that_is_ten_seconds_ahead_is_taken(world, client):
    ahead = world.clock.at + 10
    assert token(world, assertion(world, *client, iat=ahead, nbf=ahead)).status_code == 200


@pytest.mark.parametrize("value", ["60", None, True, [], {}, -1, 2**50, "x"])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_time_that_is_none(world, client, name, value):
    reason = "assertion_expiry" if name == "exp" else "assertion_from_the_future"
    refused(world, assertion(world, *client, **{name: value}), reason)


def test_exp_and_jti_must_be_there(world, client):
    refused(world, assertion(world, *client, without=("exp",)), "assertion_expiry")
    refused(world, assertion(world, *client, without=("jti",)), "assertion_id")
    for jti in ("", 1, None, ["x"], "x" * 256):
        refused(world, assertion(world, *client, jti=jti), "assertion_id")
    assert token(world, assertion(world, *client, without=("iat",))).status_code == 200


@pytest.mark.parametrize(
    "changed", [{"iss": "somebody"}, {"sub": "somebody"}, {"iss": None}, {"sub": ["x"]}, {"iss": "", "sub": ""}]
)
def test_issuer_and_subject_are_the_client(world, client, changed):
    refused(world, assertion(world, *client, **changed), "assertion_subject")


class TestNoAlgorithmButTheKeys:
    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "es256", "ES256 ", "ES256K"])
    def test_T_001_another_name(self, world, client, alg):
        text = assertion(world, *client, {"alg": alg})
        refused(world, text, "assertion_signature")
        refused(world, text.rpartition(".")[0] + ".AA", "assertion_signature")
        refused(world, text.rpartition(".")[0] + ".", "malformed_assertion")

    @pytest.mark.parametrize("alg", [None, 1, ["ES256"], {"a": 1}])
    def test_T_001_no_name_at_all(self, world, client, alg):
        refused(world, assertion(world, *client, {"alg": alg}), "malformed_assertion")

    def test_T_001_without_alg(self, world, client):
        text = client[1].jws({"typ": "JWT"}, claims(world, client[0]))
        refused(world, text, "assertion_signature")

    def test_T_005_the_public_key_as_the_secret_of_an_hmac(self, world, client):
        """RFC 8725 §2.1: in every spelling of the public key that a careless verifier could take."""
        client_id, signer = client
        public = signer.pem
        for key in (public, public.strip(), public.replace("\n", "\r\n"), json.dumps(signer.jwk), b"", b"\0"):
            secret = key.encode() if isinstance(key, str) else key
            head, body = b64(b'{"alg":"HS256"}'), b64(json.dumps(claims(world, client_id)).encode())
            mac = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
            refused(world, f"{head}.{body}.{b64(mac)}", "assertion_signature")

    @pytest.mark.parametrize(("own", "named"), [("RS256", "PS256"), ("PS256", "RS256"), ("ES256", "EdDSA")])
    def test_T_013_a_key_signs_with_its_own_algorithm_alone(self, world, own, named):
        signer = Signer(own)
        client_id, _ = world.credential()
        registered(world, client_id, signer)
        signer.alg = named if named != "EdDSA" else "ES256"
        refused(world, assertion(world, client_id, signer, {"alg": named}), "assertion_signature")

    def test_the_key_of_another_client(self, world, client):
        other_id, _ = world.credential()
        registered(world, other_id, Signer())
        refused(world, assertion(world, other_id, client[1]), "assertion_signature")
        refused(world, assertion(world, world.client[0], client[1]), "no_key")

    def test_the_key_of_our_own_tokens(self, world, client):
        from tests.support.wsgi_client import signed

        refused(world, signed(world, {"alg": "ES256"}, claims(world, client[0])), "assertion_signature")

    @pytest.mark.parametrize(
        "header",
        [
            {"jku": "https://127.0.0.1:1/"},
            {"x5u": "https://127.0.0.1:1/"},
            {"x5c": ["AA"]},
            {"jwk": {"kty": "EC"}},
            {"crit": ["exp"]},
            {"b64": False},
            {"zip": "DEF"},
            {"enc": "A128GCM"},
            {"cty": "JWT"},
        ],
        ids=lambda header: next(iter(header)),
    )
    def test_T_007_a_header_that_asks_for_more(self, world, client, header):
        refused(world, assertion(world, *client, header), "malformed_assertion")


def test_a_signature_in_another_length_is_none(world, client):
    text = assertion(world, *client)
    head, _, last = text.rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    for other in (raw[:-1], raw + b"\0", b"\0" + raw, raw[:32], bytes(64), b"", raw * 2):
        with noted(world) as notes:
            assert token(world, f"{head}.{b64(other)}").status_code == 401
        assert notes[-1]["reason"] in {"assertion_signature", "malformed_assertion"}


class TestKeyIds:
    def test_a_kid_chooses_among_the_clients_keys(self, world, client):
        second = Signer()
        jwk = json.dumps({**second.jwk, "kid": "mine-2"})
        client_keys.add(world.accounts, client[0], jwk, **world.who)
        for signer, kid in ((client[1], client[1].thumbprint), (second, "mine-2"), (second, second.thumbprint)):
            assert token(world, assertion(world, client[0], signer, {"kid": kid})).status_code == 200
        refused(world, assertion(world, client[0], second, {"kid": client[1].thumbprint}), "assertion_signature")

    def test_an_unknown_kid_is_only_a_hint(self, world, client):
        assert token(world, assertion(world, *client, {"kid": "whatever"})).status_code == 200
        for kid in ("", "x" * 4000, "\u0000", "../../etc/passwd", "' OR 1=1 --"):
            assert token(world, assertion(world, *client, {"kid": kid})).status_code == 200


class TestReplay:
    def test_T_049_once(self, world, client):
        text = assertion(world, *client)
        assert token(world, text).status_code == 200
        refused(world, text, "assertion_replayed")
        again = assertion(world, *client, jti=parts(text)[1]["jti"], exp=world.clock.at + 120)
        refused(world, again, "assertion_replayed")

    def test_T_049_on_two_nodes_at_once(self, world, client):
        """Of 32 uses on two nodes, one succeeds; a node that starts later knows it too."""
        other = Node(world)
        text = assertion(world, *client)
        codes = []
        threads = [
            threading.Thread(target=lambda at: codes.append(token(at, text).status_code), args=(at,))
            for at in (world, other) * 16
        ]
        for each in threads:
            each.start()
        for each in threads:
            join(each)
        assert sorted(codes) == [200] + [401] * 31
        other.services.close()
        third = Node(world)
        try:
            assert token(third, text).status_code == 401
        finally:
            third.services.close()

    def test_T_049_a_forger_cannot_burn_the_id_of_another(self, world, client):
        client_id, signer = client
        mine = assertion(world, client_id, signer, jti="precious")
        refused(world, assertion(world, client_id, Signer(), jti="precious"), "assertion_signature")
        for_another = assertion(world, client_id, signer, jti="precious", aud="https://x.example")
        refused(world, for_another, "assertion_audience")
        other_id, _ = world.credential()
        other = Signer()
        registered(world, other_id, other)
        assert token(world, assertion(world, other_id, other, jti="precious")).status_code == 200
        assert token(world, mine).status_code == 200

    def test_a_disabled_client_uses_nothing_up(self, world, client):
        client_id, signer = client
        text = assertion(world, client_id, signer)
        credentials.disable(world.accounts, client_id, **world.who)
        refused(world, text, "credential_disabled")
        credentials.enable(world.accounts, client_id, **world.who)
        assert token(world, text).status_code == 200

    def test_T_049_an_id_is_kept_for_as_long_as_the_assertion_lives(self, world, client):
        text = assertion(world, *client, exp=world.clock.at + 30)
        assert token(world, text).status_code == 200
        world.store.one_time_ids.sweep(world.clock.at + 29)
        refused(world, text, "assertion_replayed")
        world.store.one_time_ids.sweep(world.clock.at + 30)
        world.clock.at += 30
        refused(world, text, "assertion_expired")
        again = assertion(world, *client, jti=parts(text)[1]["jti"])
        assert token(world, again).status_code == 200

    def test_where_it_cannot_be_recorded_nothing_is_granted(self, world, client, monkeypatch):
        def broken(*_):
            raise Unavailable("the disk is full")

        monkeypatch.setattr(type(world.store.one_time_ids), "claim", broken)
        assert token(world, assertion(world, *client)).status_code == 503


class Node:
    """Another process over the same database, as far as the database can tell."""

    def __init__(self, world):
        from werkzeug.test import Client

        from app import create_app
        from authserver.config import Config

        config = Config(database_url=world.url, master_key="A" * 43, issuer=world.services.issuer)
        self.services = create_app(config, clock=world.clock, background=False).extensions["services"]
        self.services.log_stream = world.services.log_stream
        self.clock, self.http = world.clock, Client(self.services.wsgi())

    def post(self, path, form):
        return self.http.post(path, data=form)


class TestOneWayOnly:
    """RFC 6749 §2.3: a client MUST NOT use more than one authentication method in each request."""

    def test_with_basic(self, world, client):
        text = assertion(world, *client)
        body = {"grant_type": "client_credentials", **form(text)}
        answer = world.http.post("/oauth/token", data=body, headers={"Authorization": basic(*world.client)})
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
        assert token(world, text).status_code == 200, "and it was not used up"

    def test_with_a_secret(self, world, client):
        answer = token(world, assertion(world, *client), client_secret=world.client[1])
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("name", ["client_assertion", "client_assertion_type"])
    def test_twice(self, world, client, name):
        body = {"grant_type": "client_credentials", **form(assertion(world, *client))}
        pairs = [*body.items(), (name, body[name])]
        answer = world.http.post(
            "/oauth/token",
            data="&".join(f"{key}={value}" for key, value in pairs),
            content_type="application/x-www-form-urlencoded",
        )
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    def test_in_the_query(self, world, client):
        text = assertion(world, *client)
        answer = world.post(f"/oauth/token?client_assertion={text}", {"grant_type": "client_credentials"})
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")

    def test_without_its_type_or_with_another(self, world, client):
        body = {"grant_type": "client_credentials", "client_assertion": assertion(world, *client)}
        answer = world.post("/oauth/token", body)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
        for kind in (TYPE + "x", TYPE.upper(), "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"):
            answer = world.post("/oauth/token", {**body, "client_assertion_type": kind})
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_T_053_changed_assertions(world, client):
    """None is taken, none breaks anything, and nothing is used up."""
    import random

    chance = random.Random(7)
    client_id, signer = client
    good = assertion(world, client_id, signer, jti="kept")
    alphabet = "ABCxyz019-_.=+/ \n\0%\u00e9"
    for _ in range(600):
        at = chance.randrange(len(good))
        kind = chance.randrange(4)
        piece = chance.choice(alphabet) * chance.randrange(1, 4)
        text = (
            good[:at] + piece + good[at + 1 :]
            if kind == 0
            else good[:at] + good[at + 1 :]
            if kind == 1
            else good[:at] + piece + good[at:]
            if kind == 2
            else good[:at]
        )
        if text == good or not text:
            continue
        answer = token(world, text)
        assert answer.status_code in {400, 401}, (text, answer.text)
    assert token(world, good).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "..",
        '{"payload":"","signatures":[]}',
        "eyJhbGciOiJub25lIn0.e30.",
        "A" * 8192,
        "A" * 8193,
        "A" * 60_000,
    ],
)
def test_T_021_what_is_no_compact_jws(world, text):
    refused(world, text, "malformed_assertion")


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b'"x"',
        b"{}}",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\ud800"}',
        b"[" * 5000,
        b'{"a":' + b"9" * 400 + b"}",
    ],
)
def test_T_023_json_of_one_reading(world, client, payload):
    refused(world, client[1].jws({"alg": "ES256"}, payload), "malformed_assertion")
    refused(world, client[1].jws(payload, claims(world, client[0])), "malformed_assertion")


class TestKeys:
    def test_a_token_dies_with_the_key_that_obtained_it(self, world, client):
        client_id, signer = client
        second = Signer("EdDSA")
        registered(world, client_id, second)
        old = token(world, assertion(world, client_id, signer)).json["access_token"]
        new = token(world, assertion(world, client_id, second)).json["access_token"]
        by_secret = world.access_token(world.client)
        client_keys.remove(world.accounts, client_id, signer.thumbprint, **world.who)
        assert [world.active(each) for each in (old, new, by_secret)] == [False, True, True]
        refused(world, assertion(world, client_id, signer), "key_ended")

    def test_a_new_secret_leaves_keys_alone(self, world, client):
        client_id, signer = client
        text = token(world, assertion(world, client_id, signer)).json["access_token"]
        credentials.regenerate(world.accounts, client_id, 0, pepper=world.store.pepper, **world.who)
        assert world.active(text)
        assert token(world, assertion(world, client_id, signer)).status_code == 200

    def test_without_any_secret(self, world, client):
        client_id, secret = world.credential()
        with pytest.raises(Conflict, match="no key"):
            credentials.end_secrets(world.accounts, client_id, **world.who)
        signer = Signer()
        registered(world, client_id, signer)
        by_secret = world.access_token((client_id, secret))
        credentials.end_secrets(world.accounts, client_id, **world.who)
        assert not world.active(by_secret)
        assert world.token((client_id, secret)).status_code == 401
        assert token(world, assertion(world, client_id, signer)).status_code == 200
        with pytest.raises(Conflict, match="no secret"):
            credentials.end_secrets(world.accounts, client_id, **world.who)

    def test_made_with_a_key_there_never_was_a_secret(self, world):
        signer = Signer()
        made = credentials.create(
            world.accounts,
            "ada",
            "keyed",
            world.clock.at + 86400,
            ["reader"],
            pepper=world.store.pepper,
            key=public_key(signer.pem),
            **world.who,
        )
        assert made.secret == ""
        credential = world.accounts.credential(made.credential.client_id)
        assert (credential.secrets, len(credential.keys)) == ((), 1)
        assert token(world, assertion(world, credential.client_id, signer)).status_code == 200

    def test_two_at_most_and_each_once(self, world, client):
        client_id, signer = client
        with pytest.raises(Conflict, match="already"):
            registered(world, client_id, signer)
        second = Signer()
        registered(world, client_id, second)
        with pytest.raises(Conflict, match="most"):
            registered(world, client_id, Signer())
        client_keys.remove(world.accounts, client_id, second.thumbprint, **world.who)
        registered(world, client_id, Signer())
        with pytest.raises(NotFound):
            client_keys.remove(world.accounts, client_id, second.thumbprint, **world.who)
        with pytest.raises(NotFound):
            client_keys.remove(world.accounts, client_id, "x", **world.who)

    def test_of_ones_own_credentials_only(self, world, client):
        user_actions.create_user(world.accounts, f"eve-{client[0][:8]}", ["reader"], **world.who)
        eve = world.accounts.user(f"eve-{client[0][:8]}").id
        with pytest.raises(NotFound):
            client_keys.add(world.accounts, client[0], Signer().pem, owner_id=eve, **world.who)
        with pytest.raises(NotFound):
            client_keys.remove(world.accounts, client[0], client[1].thumbprint, owner_id=eve, **world.who)
        assert token(world, assertion(world, *client)).status_code == 200

    def test_each_change_is_audited_with_the_thumbprint(self, world, client):
        client_id, signer = client
        client_keys.remove(world.accounts, client_id, signer.thumbprint, **world.who)
        events = [each for each in world.accounts.audit_newest(4) if each.target == client_id]
        assert [each.event for each in events][-2:] == ["credential.key_added", "credential.key_removed"]
        assert all(json.loads(each.detail)["key"] == signer.thumbprint for each in events[-2:])

    def test_first_and_last_use(self, world, client):
        client_id, signer = client
        token(world, assertion(world, client_id, signer))
        world.store.usage.flush()
        (key,) = world.accounts.credential(client_id).keys
        first = world.clock.at
        assert (key.first_used_at, key.last_used_at) == (first, first)
        world.clock.at += 5
        token(world, assertion(world, client_id, signer))
        world.store.usage.flush()
        (key,) = world.accounts.credential(client_id).keys
        assert (key.first_used_at, key.last_used_at) == (first, first + 5)

    def test_T_181_the_owner_sees_why_it_was_refused(self, world, client):
        refused(world, assertion(world, *client, aud="https://x.example"), "assertion_audience")
        world.store.usage.flush()
        counted = world.store.credential_reads.refusals(client[0], 0)
        assert counted["assertion_audience"] == 1


class TestPastedKeys:
    def test_a_jwk_with_its_kid_and_algorithm(self, world):
        signer = Signer("RS256")
        client_id, _ = world.credential()
        jwk = {**signer.jwk, "alg": "RS256", "kid": "k1", "use": "sig"}
        client_keys.add(world.accounts, client_id, json.dumps({"keys": [jwk]}), **world.who)
        assert token(world, assertion(world, client_id, signer, {"kid": "k1"})).status_code == 200

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_T_017_a_private_key_is_refused_loudly(self, world, alg):
        with pytest.raises(Invalid, match="private"):
            client_keys.add(world.accounts, world.client[0], Signer(alg).private_pem, **world.who)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "paste one public key"),
            ("x" * 20_000, "paste one public key"),
            ("hello", "no public key"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no public key"),
            ("{", "no JSON object"),
            ('{"kty":"EC","kty":"EC"}', "no JSON object"),
            ('{"kty":"oct","k":"AAAA"}', "private"),
            ('{"kty":"oct"}', "key type"),
            ('{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}', "P-256"),
            ('{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}', "malformed"),
            ('{"kty":"OKP","crv":"X25519","x":"AA"}', "Ed25519"),
            ('{"kty":"OKP","crv":"Ed25519","x":1}', "malformed"),
            ('{"kty":"AKP","alg":"ML-DSA-87","pub":"AA"}', "ML-DSA"),
            ('{"keys":[]}', "the one key"),
            ('{"kty":["EC"]}', "key type"),
        ],
    )
    def test_what_is_no_key(self, world, text, why):
        with pytest.raises(Invalid, match=why):
            client_keys.add(world.accounts, world.client[0], text, **world.who)

    def test_T_017_weak_keys(self, world):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        def pem(private):
            return (
                private.public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
                .decode()
            )

        def add(text, alg=""):
            client_keys.add(world.accounts, world.client[0], text, alg, **world.who)

        with pytest.raises(Invalid, match="2048 to 8192"):
            add(pem(rsa.generate_private_key(65537, 1024)), "PS256")  # noqa: S505 - refused
        with pytest.raises(Invalid, match="exponent"):
            add(pem(rsa.generate_private_key(3, 2048)), "PS256")
        with pytest.raises(Invalid, match="PS256 or with RS256"):
            add(Signer("RS256").pem)
        with pytest.raises(Invalid, match="signs with ES256"):
            add(Signer().pem, "EdDSA")
        for curve in (ec.SECP384R1(), ec.SECP256K1()):
            with pytest.raises(Invalid, match="P-256"):
                add(pem(ec.generate_private_key(curve)))
        off = {**Signer().jwk, "y": Signer().jwk["y"]}
        with pytest.raises(Invalid, match="malformed"):
            add(json.dumps(off))


def test_T_045_the_owner_and_the_credential_count(world):
    user_actions.create_user(world.accounts, "bob", ["reader"], **world.who)
    signer = Signer()
    client_id, _ = world.credential("bob", ("reader",))
    registered(world, client_id, signer)
    user_actions.disable(world.accounts, "bob", **world.who)
    refused(world, assertion(world, client_id, signer), "owner_disabled")
    user_actions.enable(world.accounts, "bob", **world.who)
    assert token(world, assertion(world, client_id, signer)).status_code == 200
    credentials.delete(world.accounts, client_id, **world.who)
    refused(world, assertion(world, client_id, signer), "credential_deleted")
    refused(world, assertion(world, "00000000-0000-4000-8000-000000000000", signer), "unknown_client")


class TestRevocation:
    def test_a_client_ends_its_own_token(self, world, client):
        text = token(world, assertion(world, *client)).json["access_token"]
        answer = world.post("/oauth/revoke", form(assertion(world, *client), token=text))
        assert answer.status_code == 200, answer.text
        assert not world.active(text)

    def test_the_same_assertion_does_not_serve_twice(self, world, client):
        signed = assertion(world, *client)
        text = token(world, signed).json["access_token"]
        answer = world.post("/oauth/revoke", form(signed, token=text))
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert world.active(text)

    def test_a_broken_one(self, world):
        answer = world.post("/oauth/revoke", form("x", token="y"))
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_M_05_the_metadata_names_the_method_and_its_algorithms(world):
    document = world.http.get("/.well-known/oauth-authorization-server").json
    for endpoint in ("token", "revocation"):
        assert "private_key_jwt" in document[f"{endpoint}_endpoint_auth_methods_supported"]
        algorithms = document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert set(ALGORITHMS) | {"Ed25519"} == set(algorithms)
        assert not [alg for alg in algorithms if alg == "none" or alg.startswith("HS")]


def test_a_retired_signing_key_does_not_cost_the_client_its_assertion(world, client, monkeypatch):
    """The facts are read twice where another key took over between them and the signature; the id is used once."""
    from authserver.ports.errors import KeyGone

    endpoint = world.http.application._table["/oauth/token"].endpoint
    sign, calls = endpoint.sign, []

    def gone_once(issued):
        calls.append(issued)
        if len(calls) == 1:
            raise KeyGone("retired")
        return sign(issued)

    monkeypatch.setattr(endpoint, "sign", gone_once)
    assert token(world, assertion(world, *client)).status_code == 200
    assert len(calls) == 2
