"""Python clients and resource servers that nobody here wrote, against a started server on both databases."""

import base64
import contextlib
from urllib.parse import quote_plus

import jwt
import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as jose
from joserfc.errors import BadSignatureError, InvalidClaimError, SecurityWarning
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import InvalidClientError, InvalidScopeError
from requests_oauthlib import OAuth2Session

from tests.support.client_server import ALGORITHMS, ROLES

REQUIRED = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]  # RFC 9068 §2.2


@pytest.fixture
def api(site):
    return site.apis["ES256"]


class TestRequestsOauthlib:
    @pytest.fixture(autouse=True)
    def _loopback(self, monkeypatch):
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")

    def fetch(self, site, way, scope=None, secret=None):
        session = OAuth2Session(client=BackendApplicationClient(site.client_id, scope=scope))
        secret = secret or site.client_secret
        told = {"auth": (site.client_id, secret)} if way == "basic" else {"include_client_id": True}
        return session.fetch_token(site.token_url, client_secret=None if way == "basic" else secret, **told)

    @pytest.mark.parametrize("way", ["basic", "body"])
    @pytest.mark.parametrize("scope", [None, ["reader"], ["writer", "reader"]])
    def test_a_token(self, site, way, scope):
        # A granted scope other than the asked one would raise here.
        token = self.fetch(site, way, scope)
        assert token["token_type"] == "Bearer"
        assert set(token.scope.split()) == set(scope or ROLES)
        assert token["expires_in"] > 0
        assert "refresh_token" not in token

    @pytest.mark.parametrize("way", ["basic", "body"])
    def test_a_wrong_secret(self, site, way):
        with pytest.raises(InvalidClientError) as caught:
            self.fetch(site, way, secret=site.other_secret)
        assert caught.value.status_code == 401

    def test_a_role_that_is_not_to_be_had(self, site):
        with pytest.raises(InvalidScopeError, match="omit scope to get all"):
            self.fetch(site, "basic", ["auditor"])


class TestAuthlibClient:
    @pytest.fixture(params=["client_secret_basic", "client_secret_post"])
    def method(self, request):
        return request.param

    def session(self, who, method, **told):
        return contextlib.closing(
            AuthlibSession(
                who[0],
                who[1],
                token_endpoint_auth_method=method,
                revocation_endpoint_auth_method=method,
                **told,
            )
        )

    def test_a_token_its_introspection_and_its_end(self, site, api, method):
        with self.session(site.client, method) as client, self.session((api.id, api.secret), method) as caller:
            token = client.fetch_token(site.token_url, grant_type="client_credentials", resource=api.audience)
            assert set(token["scope"].split()) == set(ROLES)
            answer = caller.introspect_token(site.introspection_url, token=token["access_token"])
            assert answer.status_code == 200
            assert answer.json()["active"] is True
            assert answer.json()["aud"] == api.audience
            ended = client.revoke_token(site.revocation_url, token=token["access_token"])
            assert ended.status_code == 200
            answer = caller.introspect_token(site.introspection_url, token=token["access_token"])
            assert answer.json() == {"active": False}

    def test_a_chosen_role(self, site, method):
        with self.session(site.client, method, scope="writer") as client:
            assert client.fetch_token(site.token_url, grant_type="client_credentials")["scope"] == "writer"

    def test_a_wrong_secret(self, site, method):
        with (
            self.session((site.client_id, site.other_secret), method) as client,
            pytest.raises(OAuthError, match="invalid_client"),
        ):
            client.fetch_token(site.token_url, grant_type="client_credentials")


class TestEncodedBasic:
    """RFC 6749 §2.3.1 has both parts form-encoded; who encodes and who does not must both get in."""

    @pytest.mark.parametrize(
        "encoded",
        [str, quote_plus, lambda text: "".join(f"%{ord(char):02x}" for char in text)],
        ids=["raw", "as Go does", "each character"],
    )
    def test_gets_in(self, site, encoded):
        pair = ":".join(map(encoded, site.client)).encode()
        header = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        answer = requests.post(site.token_url, data={"grant_type": "client_credentials"}, headers=header, timeout=10)
        assert answer.status_code == 200


class TestPyJWT:
    def decoded(self, site, keys, text, alg):
        return jwt.decode_complete(
            text,
            keys.get_signing_key_from_jwt(text),
            algorithms=[alg],
            audience=site.apis[alg].audience,
            issuer=site.issuer,
            options={"require": REQUIRED},
        )

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_reads_a_token(self, site, alg):
        keys = jwt.PyJWKClient(site.jwks_url)
        told = self.decoded(site, keys, site.token(alg, scope="reader"), alg)
        assert told["header"].keys() == {"typ", "alg", "kid"}
        assert (told["header"]["typ"], told["header"]["alg"]) == ("at+jwt", alg)
        assert told["payload"]["client_id"] == site.client_id
        assert told["payload"]["act"] == {"sub": site.client_id}
        assert told["payload"]["sub"].startswith("usr_")
        assert told["payload"]["roles"] == ["reader"]

    def test_refuses_it_elsewhere(self, site, api):
        text, keys = site.token("ES256"), jwt.PyJWKClient(site.jwks_url)
        key = keys.get_signing_key_from_jwt(text)
        with pytest.raises(jwt.InvalidAudienceError):
            jwt.decode(text, key, algorithms=["ES256"], audience=site.apis["RS256"].audience)
        with pytest.raises(jwt.InvalidAlgorithmError):
            jwt.decode(text, key, algorithms=["RS256"], audience=api.audience)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_rotation(self, site, alg):
        keys = jwt.PyJWKClient(site.jwks_url, cooldown_duration=0)
        old = site.token(alg)
        before = self.decoded(site, keys, old, alg)["header"]["kid"]
        after = site.rotate(alg)
        new = site.token(alg)
        assert self.decoded(site, keys, new, alg)["header"]["kid"] == after != before
        for each in (keys, jwt.PyJWKClient(site.jwks_url)):
            assert self.decoded(site, each, old, alg)["header"]["kid"] == before

    def test_a_staged_key_is_known_before_it_signs(self, site):
        # Right after a fetch the library asks for no unknown key: what signs must have been published (INV-14).
        kid = site.stage("ES256")
        keys = jwt.PyJWKClient(site.jwks_url)
        keys.get_jwk_set()
        assert site.rotate("ES256") == kid
        assert self.decoded(site, keys, site.token("ES256"), "ES256")["header"]["kid"] == kid


class TestJoserfc:
    registry = jose.JWTClaimsRegistry(**{name: jose.ClaimsOption(essential=True) for name in REQUIRED})  # type: ignore[arg-type]

    def keys(self, site):
        return KeySet.import_key_set(requests.get(site.jwks_url, timeout=10).json())

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_reads_a_token(self, site, alg):
        keys, text = self.keys(site), site.token(alg)
        # The library calls the name EdDSA old (RFC 9864); PyJWT knows no other.
        with pytest.warns(SecurityWarning) if alg == "EdDSA" else contextlib.nullcontext():
            token = jose.decode(text, keys, algorithms=[alg])
        assert token.header["typ"] == "at+jwt"
        self.registry.validate(token.claims)
        bound = jose.JWTClaimsRegistry(
            iss={"essential": True, "value": site.issuer}, aud={"essential": True, "value": site.apis[alg].audience}
        )
        bound.validate(token.claims)
        with pytest.raises(InvalidClaimError):
            jose.JWTClaimsRegistry(aud={"essential": True, "value": "https://other.example.com"}).validate(token.claims)

    def test_refuses_another_signature(self, site):
        one, other = site.token("RS256"), site.token("RS256")
        with pytest.raises(BadSignatureError):
            jose.decode(f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}", self.keys(site), algorithms=["RS256"])

    def test_k03_every_kid_is_the_thumbprint_of_its_key(self, site):
        keys = self.keys(site).keys
        assert len({key.kid for key in keys}) == len(keys) >= len(ALGORITHMS)
        assert all(key.thumbprint() == key.kid for key in keys)
        assert all(not key.is_private for key in keys)


class TestAuthlibResourceServer:
    def test_takes_a_token(self, site):
        api = site.apis["RS256"]  # joserfc's default algorithms are all that this class knows

        class Validator(JWTBearerTokenValidator):
            def get_jwks(self):
                return KeySet.import_key_set(requests.get(site.jwks_url, timeout=10).json())

        validator = Validator(site.issuer, api.audience)
        token = validator.authenticate_token(site.token("RS256"))
        validator.validate_token(token, ["reader"], None, roles=["reader"])
        assert token["client_id"] == site.client_id
