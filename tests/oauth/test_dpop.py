"""DPoP (RFC 9449): tokens bound to a key at the token endpoint, and what introspection says of them."""

import hashlib
import threading

import pytest

from authserver.actions import credentials, general_settings
from authserver.rules.client_authentication.nonce import nonces
from authserver.rules.client_authentication.proof import token_hash_of
from authserver.rules.client_authentication.restrictions import restrictions
from tests.support.assertions import ALGORITHMS, Signer, assertion, form, proof, registered
from tests.support.deadlines import join
from tests.support.wsgi_client import BACKENDS, b64, basic, noted, opened, parts, signed

TOKEN, FORWARD_AUTH = "/oauth/token", "/oauth/forward-auth"
FORWARDED = {"Proto": "https", "Host": "api.example.com", "Uri": "/"}


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    for world in opened(request.param, tmp_path_factory.mktemp("dpop")):
        general_settings.set_general(world.accounts, "max_credentials_per_user", "1000", **world.who)
        yield world


@pytest.fixture(scope="module")
def signer():
    return Signer()


def asked(world, header, path=TOKEN, **more):
    """A token request with these ``DPoP`` headers."""
    headers = [("Authorization", basic(*world.client)), *(("DPoP", each) for each in [header] if header is not None)]
    return world.http.post(path, data={"grant_type": "client_credentials", **more}, headers=headers)


def refused(world, header, reason, **more):
    with noted(world) as notes:
        answer = asked(world, header, **more)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof"), answer.text
    assert notes[-1]["reason"] == reason, notes
    assert "access_token" not in answer.json


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_P_03_a_token_is_bound_to_the_key_of_the_proof(world, alg):
    signer = Signer(alg)
    answer = asked(world, proof(world, signer))
    assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP"), answer.text
    claims = parts(answer.json["access_token"])[1]
    assert claims["cnf"] == {"jkt": signer.thumbprint}


def test_I_10_introspection_says_what_a_token_is_bound_to(world, signer):
    text = asked(world, proof(world, signer)).json["access_token"]
    for _ in range(2):
        document = world.introspect(text).json
        assert (document["active"], document["token_type"], document["cnf"]) == (
            True,
            "DPoP",
            {"jkt": signer.thumbprint},
        )
        world.store.usage.flush()
    bearer = world.introspect(world.access_token()).json
    assert bearer["token_type"] == "Bearer"
    assert "cnf" not in bearer


def test_what_a_token_is_bound_to_cannot_be_changed_nor_taken_off(world, signer):
    """Signed anew with the server's own key, as whoever stole it could: such a text was never recorded (INV-33)."""
    header, claims = parts(asked(world, proof(world, signer)).json["access_token"])
    for cnf in (None, {"jkt": Signer().thumbprint}, {}, {"jkt": ""}, {"jkt": 1}, {"jkt": "x", "x5t#S256": "y"}, "x"):
        changed = {**claims, "cnf": cnf}
        if cnf is None:
            del changed["cnf"]
        assert not world.active(signed(world, header, changed))


def test_with_an_assertion_too(world, signer):
    client_id, _ = world.credential()
    registered(world, client_id, signer)
    body = {"grant_type": "client_credentials", **form(assertion(world, client_id, signer))}
    answer = world.http.post(TOKEN, data=body, headers={"DPoP": proof(world, signer)})
    assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP"), answer.text


def test_the_same_client_request_again_with_a_new_proof(world, signer):
    """Parsed requests are cached; proofs are not, nor is what comes of them."""
    first, second = (asked(world, proof(world, each)).json["access_token"] for each in (signer, Signer()))
    assert parts(first)[1]["cnf"] != parts(second)[1]["cnf"]
    bearer = asked(world, None)
    assert bearer.json["token_type"] == "Bearer"
    assert "cnf" not in parts(bearer.json["access_token"])[1]
    assert asked(world, proof(world, signer)).json["token_type"] == "DPoP"
    refused(world, "x", "malformed_proof")


@pytest.mark.parametrize(
    "uri",
    ["{issuer}/oauth/token", "{issuer}/oauth/token?x=1", "{issuer}/oauth/token#f", "HTTP://127.0.0.1:8000/oauth/token"],
)
def test_P_02_the_address_is_compared_without_query_and_case_of_the_host(world, signer, uri):
    assert asked(world, proof(world, signer, htu=uri.format(issuer=world.services.issuer))).status_code == 200


@pytest.mark.parametrize("path", ["/oauth/token", "/OAuth/Token", "/auth/oauth/token"])
def test_an_alias_has_its_own_address(world, signer, path):
    assert asked(world, proof(world, signer, htu=world.services.issuer + path), path).status_code == 200


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"htm": "GET"}, "proof_method"),
        ({"htm": "post"}, "proof_method"),
        ({"htm": None}, "proof_method"),
        ({"htu": "https://other.example.com/oauth/token"}, "proof_uri"),
        ({"htu": "http://127.0.0.1:8000/oauth/revoke"}, "proof_uri"),
        ({"htu": "http://127.0.0.1:8000"}, "proof_uri"),
        ({"htu": "http://127.0.0.1:8001/oauth/token"}, "proof_uri"),
        ({"htu": "http://a@127.0.0.1:8000/oauth/token"}, "proof_uri"),
        ({"htu": "http://127.0.0.1:8000/oauth/token/"}, "proof_uri"),
        ({"htu": "//127.0.0.1:8000/oauth/token"}, "proof_uri"),
        ({"htu": "http://127.0.0.1:x/oauth/token"}, "proof_uri"),
        ({"htu": "http://[/oauth/token"}, "proof_uri"),
        ({"htu": ["http://127.0.0.1:8000/oauth/token"]}, "proof_uri"),
        ({"iat": -3600}, "proof_time"),
        ({"iat": -61}, "proof_time"),
        ({"iat": 11}, "proof_time"),
        ({"iat": 3600}, "proof_time"),
        ({"jti": ""}, "proof_id"),
        ({"jti": 1}, "proof_id"),
        ({"jti": "x" * 256}, "proof_id"),
    ],
)
def test_P_01_a_proof_for_another_request(world, signer, changed, reason):
    moved = {**changed, "iat": world.clock.at + changed["iat"]} if "iat" in changed else changed
    refused(world, proof(world, signer, **moved), reason)


@pytest.mark.parametrize("name", ["htm", "htu", "iat", "jti"])
def test_P_01_every_member_must_be_there(world, signer, name):
    reason = {"htm": "proof_method", "htu": "proof_uri", "iat": "proof_time", "jti": "proof_id"}[name]
    refused(world, proof(world, signer, without=(name,)), reason)


@pytest.mark.parametrize("seconds", [-59, -10, 0, 10])
def test_P_05_ten_seconds_to_either_side_are_taken(world, signer, seconds):
    assert asked(world, proof(world, signer, iat=world.clock.at + seconds)).status_code == 200


def test_P_05_a_proof_is_good_once_and_on_one_thread(world, signer):
    text = proof(world, signer)
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(asked(world, text).status_code)) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        join(each)
    assert sorted(codes) == [200] + [400] * 15
    refused(world, text, "proof_replayed")
    again = proof(world, signer, jti=parts(text)[1]["jti"])
    refused(world, again, "proof_replayed")


def test_P_05_until_it_is_too_old_anyway(world, signer):
    text = proof(world, signer, iat=world.clock.at + 10)
    assert asked(world, text).status_code == 200
    began = world.clock.at
    try:
        for seconds in (30, 69, 70, 71, 200):
            world.clock.at = began + seconds
            world.store.one_time_ids.sweep(world.clock.at)
            refused(world, text, "proof_replayed" if seconds < 70 else "proof_time")
    finally:
        world.clock.at = began


def test_a_stranger_cannot_use_up_the_id_of_another_key(world, signer):
    mine = proof(world, signer, jti="precious-proof")
    forged = Signer().jws({"typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk}, parts(mine)[1])
    refused(world, forged, "proof_signature")
    assert asked(world, proof(world, Signer(), jti="precious-proof")).status_code == 200
    assert asked(world, mine).status_code == 200


def test_whoever_is_not_the_client_uses_no_proof_up(world, signer):
    text = proof(world, signer)
    headers = [("Authorization", basic(world.client[0], world.credential()[1])), ("DPoP", text)]
    answer = world.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=headers)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert asked(world, text).status_code == 200


class TestHeaders:
    @pytest.mark.parametrize("typ", ["JWT", "at+jwt", "client-authentication+jwt", "", None, 1])
    def test_T_021_typ(self, world, signer, typ):
        reason = "proof_type" if isinstance(typ, str) else "malformed_proof"
        refused(world, proof(world, signer, header={"typ": typ}), reason)

    @pytest.mark.parametrize("alg", ["none", "None", "HS256", "HS512", "", "es256", "RS256", "PS256", "EdDSA", "ES384"])
    def test_T_001_alg(self, world, signer, alg):
        refused(world, proof(world, signer, header={"alg": alg}), "proof_key")

    def test_a_private_or_symmetric_key(self, world, signer):
        numbers = signer.private.private_numbers()
        private = {**signer.jwk, "d": b64(numbers.private_value.to_bytes(32))}
        for jwk in (private, {"kty": "oct", "k": "AAAA"}, {}, [], "x", None, {"kty": "EC"}, {**signer.jwk, "x": "AA"}):
            refused(world, proof(world, signer, header={"jwk": jwk}), "proof_key")

    def test_without_a_key(self, world, signer):
        refused(world, signer.jws({"typ": "dpop+jwt", "alg": "ES256"}, {}), "proof_key")

    def test_a_weak_key(self, world):
        from cryptography.hazmat.primitives.asymmetric import rsa

        signer = Signer("PS256")
        signer.private = rsa.generate_private_key(65537, 1024)  # noqa: S505 - refused
        numbers = signer.private.public_key().public_numbers()
        weak = {"kty": "RSA", "e": "AQAB", "n": b64(numbers.n.to_bytes(128))}
        refused(world, signer.jws({"typ": "dpop+jwt", "alg": "PS256", "jwk": weak}, {}), "proof_key")

    @pytest.mark.parametrize("extra", [{"crit": ["x"]}, {"b64": False}, {"jku": "https://x.example"}, {"zip": "DEF"}])
    def test_a_header_that_asks_for_more(self, world, signer, extra):
        refused(world, proof(world, signer, header=extra), "malformed_proof")

    def test_P_02_an_unknown_member_is_no_fault(self, world, signer):
        assert asked(world, proof(world, signer, header={"x": 1, "kid": "k"}, y=2)).status_code == 200

    def test_P_01_two_headers(self, world, signer):
        one, two = proof(world, signer), proof(world, signer)
        refused(world, f"{one}, {two}", "malformed_proof")
        refused(world, f"{one},{one}", "malformed_proof")

    @pytest.mark.parametrize("text", ["x", "a.b.c", "a.b.c.d", "{}", "Bearer x", "\u00e9", "A" * 9000])
    def test_what_is_no_proof(self, world, text):
        refused(world, text.encode().decode("latin-1"), "malformed_proof")

    def test_a_token_or_an_assertion_is_no_proof(self, world, signer):
        client_id, _ = world.credential()
        registered(world, client_id, signer)
        refused(world, world.access_token(), "proof_type")
        refused(world, assertion(world, client_id, signer), "proof_type")
        body = {"grant_type": "client_credentials", **form(proof(world, signer, iss=client_id, sub=client_id))}
        answer = world.post(TOKEN, body)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_the_metadata_names_the_algorithms(world):
    document = world.http.get("/.well-known/oauth-authorization-server").json
    algorithms = document["dpop_signing_alg_values_supported"]
    assert set(algorithms) == {*ALGORITHMS, "Ed25519"}
    assert not [alg for alg in algorithms if alg == "none" or alg.startswith("HS")]


def test_a_hash_of_the_token_is_not_asked_for_where_there_is_none(world, signer):
    ath = b64(hashlib.sha256(b"x").digest())
    assert asked(world, proof(world, signer, ath=ath)).status_code == 200


class TestNonces:
    """RFC 9449 §8, §9, where the operator asks for nonces."""

    @pytest.fixture(autouse=True)
    def asking(self, world):
        endpoints = {path: world.http.application._table[path].endpoint for path in (TOKEN, FORWARD_AUTH)}
        for path, purpose in ((TOKEN, "token"), (FORWARD_AUTH, "forward-auth")):
            endpoints[path]._nonces = nonces(world.store.pepper, purpose, 60)
        yield
        for endpoint in endpoints.values():
            endpoint._nonces = None

    @staticmethod
    def challenged(world, header):
        """The nonce that a request is told to use."""
        with noted(world) as notes:
            answer = asked(world, header)
        assert (answer.status_code, answer.json["error"]) == (400, "use_dpop_nonce"), answer.text
        assert notes[-1]["reason"] == "proof_nonce"
        return answer.headers["DPoP-Nonce"]

    def test_P_04_a_proof_with_the_nonce_is_taken(self, world, signer):
        nonce = self.challenged(world, proof(world, signer))
        answer = asked(world, proof(world, signer, nonce=nonce))
        assert (answer.status_code, answer.json["token_type"]) == (200, "DPoP"), answer.text
        assert answer.headers["DPoP-Nonce"] == nonce
        assert world.token().status_code == 200
        assert "DPoP-Nonce" not in world.token().headers

    @pytest.mark.parametrize("nonce", ["", "x", 1, None, ["a"], "A" * 24, "\u00e9"])
    def test_P_04_any_other_nonce_is_challenged_anew(self, world, signer, nonce):
        assert len(self.challenged(world, proof(world, signer, nonce=nonce))) == 24

    def test_it_changes_and_the_one_before_is_taken_while_the_next_is_given(self, world, signer):
        world.clock.at += 60 - world.clock.at % 60
        first = self.challenged(world, proof(world, signer))
        world.clock.at += 119
        answer = asked(world, proof(world, signer, nonce=first))
        assert answer.status_code == 200
        second = answer.headers["DPoP-Nonce"]
        assert second != first
        world.clock.at += 1
        assert self.challenged(world, proof(world, signer, nonce=first)) not in {first, second}
        assert asked(world, proof(world, signer, nonce=second)).status_code == 200

    def test_a_challenge_uses_nothing_up(self, world, signer):
        client = world.credential()
        credentials.restrict(world.accounts, client[0], restrictions(rate=1), **world.who)
        headers = {"Authorization": basic(*client)}

        def asked(**changed):
            told = {**headers, "DPoP": proof(world, signer, **changed)}
            return world.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=told)

        nonce = asked(jti="the-same").headers["DPoP-Nonce"]
        assert asked(jti="the-same", nonce=nonce).status_code == 200
        assert asked(nonce=nonce).status_code == 429

    def test_only_an_authenticated_client_with_a_good_proof_is_told_one(self, world, signer):
        refused(world, proof(world, signer, htm="GET"), "proof_method")
        headers = {"Authorization": basic(world.client[0], world.credential()[1]), "DPoP": proof(world, signer)}
        answer = world.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=headers)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert "DPoP-Nonce" not in answer.headers

    def test_forward_auth_asks_for_one_of_its_own(self, world, signer):
        nonce = self.challenged(world, proof(world, signer))
        text = asked(world, proof(world, signer, nonce=nonce)).json["access_token"]

        def called(**changed):
            made = {"htm": "GET", "htu": "https://api.example.com/", "ath": token_hash_of(text), **changed}
            headers = {"Authorization": f"DPoP {text}", "DPoP": proof(world, signer, **made)}
            headers |= {"X-Gateway-Authorization": basic(*world.api), "X-Forwarded-Method": "GET"}
            headers |= {f"X-Forwarded-{name}": value for name, value in FORWARDED.items()}
            return world.http.get(FORWARD_AUTH, headers=headers)

        for wrong in ({}, {"nonce": nonce}):
            answer = called(**wrong)
            assert answer.status_code == 401
            assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]
            assert answer.headers["WWW-Authenticate"].startswith("DPoP ")
        assert called(nonce=answer.headers["DPoP-Nonce"]).status_code == 204
