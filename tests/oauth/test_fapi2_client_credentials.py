"""FAPI 2.0 Security Profile (final), client credentials, private_key_jwt and DPoP.

One test for each of the 14 modules (one for two that differ in a sign) that the OpenID Foundation's conformance suite
has in its plan ``fapi2-security-profile-final-client-credentials-grant-test-plan``, named after it, with the conditions
that it checks. The suite itself is no package of any registry.
"""

import pytest

from authserver.actions import general_settings
from authserver.rules.client_authentication.proof import token_hash_of
from tests.support.assertions import Signer, assertion, form, proof, registered
from tests.support.wsgi_client import basic, opened, parts

SCOPE = {"grant_type": "client_credentials"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server held to FAPI 2.0: no shared secrets, and every token bound to its holder (§5.3.2.1 no. 4, 5)."""
    for world in opened("sqlite", tmp_path_factory.mktemp("fapi")):
        general_settings.set_general(world.accounts, "client_secrets_allowed", "0", **world.who)
        general_settings.set_general(world.accounts, "bound_tokens_required", "1", **world.who)
        yield world


@pytest.fixture(scope="module")
def client(world):
    """A client with a PS256 key, and the key that it holds its tokens with."""
    signer, holder = Signer("PS256"), Signer("ES256")
    client_id, _ = world.credential()
    registered(world, client_id, signer)
    return client_id, signer, holder


def ask(world, client, without=(), proofs=None, more=None, **changed):
    client_id, signer, holder = client
    text = assertion(world, client_id, signer, None, without, **changed)
    told = [proof(world, holder)] if proofs is None else proofs
    return world.http.post(
        "/oauth/token", data={**SCOPE, **form(text), **(more or {})}, headers=[("DPoP", each) for each in told]
    )


def called(world, token, holder, scheme="DPoP", **changed):
    """A call of an API behind a gateway, which asks at forward-auth; its status."""
    made = {"htm": "GET", "htu": "https://api.example.com/orders", "ath": token_hash_of(token), **changed}
    headers = {
        "X-Gateway-Authorization": basic(*world.api),
        "Authorization": f"{scheme} {token}",
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Uri": "/orders",
        "DPoP": proof(world, holder, **made),
    }
    return world.http.get("/oauth/forward-auth", headers=headers).status_code


def refused(answer, status, *errors):
    assert answer.status_code == status, answer.text
    assert answer.json["error"] in errors
    assert "access_token" not in answer.json


def test_fapi2_discovery_endpoint_verification(world):
    told = world.http.get("/.well-known/oauth-authorization-server").json
    assert told["issuer"] == world.services.issuer
    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
    assert "client_credentials" in told["grant_types_supported"]
    for name in ("token_endpoint_auth_signing_alg_values_supported", "dpop_signing_alg_values_supported"):
        assert {"PS256", "ES256", "EdDSA"} <= set(told[name])
        assert not {"none", "HS256", "HS384", "HS512"} & set(told[name])
    assert told["token_endpoint"].startswith(told["issuer"])
    assert told["jwks_uri"].startswith(told["issuer"])


def test_fapi2_happy_flow(world, client):
    answer = ask(world, client)
    assert answer.status_code == 200, answer.text
    assert (answer.json["token_type"], "refresh_token" in answer.json) == ("DPoP", False)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["expires_in"] > 0
    token = answer.json["access_token"]
    assert parts(token)[1]["cnf"] == {"jkt": client[2].thumbprint}
    assert called(world, token, client[2]) == 204


def test_fapi2_access_token_type_header_case_sensitivity(world, client):
    token = ask(world, client).json["access_token"]
    for scheme in ("dpop", "DPOP", "DPoP", "dPoP"):
        assert called(world, token, client[2], scheme) == 204


def test_fapi2_check_dpop_proof_nbf_exp(world, client):
    at = world.clock.at
    assert ask(world, client, proofs=[proof(world, client[2], nbf=at, exp=at + 60)]).status_code == 200


@pytest.mark.parametrize("seconds", [-10, 10])
def test_fapi2_ensure_dpop_proof_with_iat_10_seconds_before_and_after_succeeds(world, client, seconds):
    made = proof(world, client[2], iat=world.clock.at + seconds)
    answer = ask(world, client, proofs=[made])
    assert answer.status_code == 200, answer.text
    assert called(world, answer.json["access_token"], client[2], iat=world.clock.at + seconds) == 204


def test_fapi2_ensure_client_id_in_token_endpoint(world, client):
    other = Signer("PS256")
    other_id, _ = world.credential()
    registered(world, other_id, other)
    refused(ask(world, client, more={"client_id": other_id}), 401, "invalid_client")
    refused(ask(world, (other_id, client[1], client[2])), 401, "invalid_client")


def test_fapi2_ensure_holder_of_key_required(world, client):
    refused(ask(world, client, proofs=[]), 400, "invalid_dpop_proof", "invalid_request")
    token = ask(world, client).json["access_token"]
    assert called(world, token, Signer()) == 401
    assert called(world, token, client[2], scheme="Bearer") == 401


def test_fapi2_ensure_signed_client_assertion_with_rs256_fails(world, client):
    client_id, signer, holder = client
    weaker = Signer("RS256")
    weaker.private = signer.private
    refused(ask(world, (client_id, weaker, holder)), 401, "invalid_client")


def test_fapi2_ensure_client_assertion_in_token_endpoint(world, client):
    sent = {**SCOPE, "client_id": client[0]}
    answer = world.http.post("/oauth/token", data=sent, headers={"DPoP": proof(world, client[2])})
    refused(answer, 401, "invalid_client")


def test_fapi2_ensure_client_assertion_with_exp_is_5_minutes_in_past_fails(world, client):
    refused(ask(world, client, exp=world.clock.at - 300, iat=world.clock.at - 360), 401, "invalid_client")


@pytest.mark.parametrize("audience", ["https://evil.example.com", "{issuer}/", "{issuer}/oauth/token", ["{issuer}"]])
def test_fapi2_ensure_client_assertion_with_wrong_aud_fails(world, client, audience):
    ours = world.services.issuer
    told = [ours] if isinstance(audience, list) else audience.format(issuer=ours)
    refused(ask(world, client, aud=told), 401, "invalid_client")


def test_fapi2_ensure_client_assertion_with_no_sub_fails(world, client):
    refused(ask(world, client, without=("sub",)), 401, "invalid_client")


def test_fapi2_dpop_negative_tests(world, client):
    at, holder = world.clock.at, client[2]
    used = proof(world, holder)
    assert ask(world, client, proofs=[used]).status_code == 200
    bad = {
        "replayed": [used],
        "two": [proof(world, holder), proof(world, holder)],
        "no JWT": ["x"],
        "typ": [proof(world, holder, {"typ": "JWT"})],
        "alg none": [proof(world, holder, {"alg": "none"})],
        "alg HS256": [proof(world, holder, {"alg": "HS256"})],
        "another key": [proof(world, holder, {"jwk": Signer().jwk})],
        "private key": [proof(world, holder, {"jwk": {**holder.jwk, "d": "AAAA"}})],
        "no key": [proof(world, holder, {"jwk": None})],
        "htm": [proof(world, holder, htm="GET")],
        "htu": [proof(world, holder, htu="https://evil.example.com/oauth/token")],
        "old": [proof(world, holder, iat=at - 600)],
        "early": [proof(world, holder, iat=at + 600)],
        **{f"no {name}": [proof(world, holder, None, (name,))] for name in ("htm", "htu", "iat", "jti")},
        "signature": [proof(world, holder)[:-4] + "AAAA"],
    }
    for name, proofs in bad.items():
        answer = ask(world, client, proofs=proofs)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof"), (name, answer.text)
    token = ask(world, client).json["access_token"]
    for changed in ({"ath": "x"}, {"htm": "POST"}, {"htu": "https://api.example.com/other"}, {"iat": at - 600}):
        assert called(world, token, holder, **changed) == 401, changed
