"""The question of gateways: may this call pass?"""

import pytest

from authserver.actions import resource_servers, users
from authserver.rules.client_authentication.proof import token_hash_of
from tests.support.assertions import Signer, proof
from tests.support.wsgi_client import BACKENDS, WRONG_SECRET, basic, opened, parts, throttled

PATH = "/oauth/forward-auth"


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


def ask(world, token=None, query="", *, gateway=None, method="GET", **headers):
    if gateway != ():
        headers["X-Gateway-Authorization"] = basic(*(gateway or world.api))
    if token is not None:
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    return world.http.open(PATH, method=method, query_string=query, headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_live_token_passes_and_names_who_calls(world, method):
    token = world.access_token()
    claims = parts(token)[1]
    answer = ask(world, token, "role=reader", method=method)
    assert (answer.status_code, answer.data) == (204, b"")
    results = [answer.headers[f"X-Auth-{name}"] for name in ("Subject", "Client", "Roles")]
    assert results == [claims["sub"], claims["client_id"], "reader writer"]
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Expires"]) == ("no-store", "0")


def test_a_call_without_a_token_is_challenged_without_an_error(world):
    answer = ask(world)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


@pytest.mark.parametrize("text", ["garbage", "Bearer ", "Bearer a.b.c", "bearer " + "x" * 9000])
def test_what_is_no_token_is_refused(world, text):
    answer = ask(world, text if " " in text else f"Bearer {text}")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "X-Auth-Subject" not in answer.headers


def test_another_scheme_is_no_token(world):
    assert ask(world, "Basic YTpi").headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_missing_role_is_forbidden_and_named(world):
    token = world.access_token(scope="reader")
    assert ask(world, token, "role=reader").status_code == 204
    answer = ask(world, token, "role=writer&role=reader")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="reader writer"' in answer.headers["WWW-Authenticate"]
    assert "X-Auth-Subject" not in answer.headers


def test_a_role_change_is_known_at_once(world):
    token = world.access_token()
    assert ask(world, token).status_code == 204
    users.revoke(world.accounts, "ada", "writer", **world.who)
    assert ask(world, token).status_code == 401


def test_it_counts_as_a_use(world):
    token = world.access_token()
    for _ in range(3):
        world.clock.at += 29 * 60
        assert ask(world, token, "route=/orders/{id}", **{"X-Forwarded-Method": "delete"}).status_code == 204
    world.clock.at += 29 * 60
    assert world.active(token)


def test_the_lease_is_told_to_the_gateway(world):
    api = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    resource_servers.bound_staleness(world.accounts, api.name, 5, **world.who)
    answer = ask(world, world.access_token())
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Expires"]) == ("private, max-age=5", "5")


def test_a_token_of_another_audience_is_refused(world):
    other = resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    token = world.access_token()
    assert ask(world, token, gateway=(other.server.client_id, other.secret)).status_code == 401


def test_who_floods_a_gateway_with_bad_tokens_is_refused_as_everybody_is(world):
    """A gateway such as nginx makes a 500 of a 429, and the gateway did nothing wrong."""
    throttled(world, per_resource_server=2)
    assert [ask(world, "garbage").status_code for _ in range(6)] == [401] * 6
    assert ask(world, world.access_token()).status_code == 204


def test_who_guesses_the_secret_of_a_gateway_is_slowed(world):
    throttled(world, per_client=2)
    wrong = (world.api[0], WRONG_SECRET)
    assert [ask(world, "garbage", gateway=wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert ask(world, world.access_token()).status_code == 204


def test_only_gateways_are_answered(world):
    token = world.access_token()
    for gateway in (world.client, (world.api[0], WRONG_SECRET), ("nobody", world.api[1]), ()):
        answer = ask(world, token, gateway=gateway)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert "X-Auth-Subject" not in answer.headers


@pytest.mark.parametrize(
    "query", ["x=1", "role=", "role=a%20b", "route=/a&route=/b", "role", "&".join(["role=a"] * 60)]
)
def test_a_query_that_is_not_configured_right_is_a_bad_request(world, query):
    assert ask(world, world.access_token(), query).status_code == 400


class TestBoundTokens:
    """RFC 9449 §7: a token that is bound to a key passes with a proof of that key only."""

    CALL = {"X-Forwarded-Method": "POST", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com"}  # noqa: RUF012

    @pytest.fixture
    def signer(self):
        return Signer()

    @pytest.fixture
    def token(self, world, signer):
        headers = {"Authorization": basic(*world.client), "DPoP": proof(world, signer)}
        answer = world.http.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=headers)
        return answer.json["access_token"]

    def call(self, world, token, text=None, *, scheme="DPoP", uri="/orders?page=2", **more):
        headers = {**self.CALL, "X-Forwarded-Uri": uri, **more}
        if text is not None:
            headers["DPoP"] = text
        return ask(world, f"{scheme} {token}", "role=reader", **headers)

    def made(self, world, signer, token, **changed):
        claims = {"htm": "POST", "htu": "https://api.example.com/orders", "ath": token_hash_of(token), **changed}
        return proof(world, signer, **claims)

    def test_P_06_with_its_proof_it_passes(self, world, signer, token):
        answer = self.call(world, token, self.made(world, signer, token))
        assert answer.status_code == 204, answer.text
        assert answer.headers["X-Auth-Client"] == world.client[0]
        assert self.call(world, token, self.made(world, signer, token), scheme="dpop").status_code == 204

    def test_an_answer_is_never_kept(self, world, signer, token):
        resource_servers.bound_staleness(world.accounts, "api", 30, **world.who)
        answer = self.call(world, token, self.made(world, signer, token))
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Expires"]) == ("no-store", "0")

    def test_P_06_as_a_bearer_token_it_is_dead(self, world, signer, token):
        for text in (None, self.made(world, signer, token)):
            answer = self.call(world, token, text, scheme="Bearer")
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith('DPoP realm="api", algs="ES256 ')
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    def test_a_bearer_token_does_not_pass_as_a_bound_one(self, world, signer):
        bearer = world.access_token()
        answer = self.call(world, bearer, self.made(world, signer, bearer))
        assert (answer.status_code, 'error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (401, True)

    @pytest.mark.parametrize(
        "changed",
        [
            {"htm": "GET"},
            {"htu": "https://api.example.com/other"},
            {"htu": "https://other.example.com/orders"},
            {"htu": "http://api.example.com/orders"},
            {"ath": None},
            {"ath": ""},
            {"ath": "x" * 43},
            {"iat": 0},
            {"jti": None},
        ],
        ids=str,
    )
    def test_P_06_a_proof_for_something_else(self, world, signer, token, changed):
        answer = self.call(world, token, self.made(world, signer, token, **changed))
        assert answer.status_code == 401
        assert 'error="invalid_dpop_proof"' in answer.headers["WWW-Authenticate"]
        assert "X-Auth-Subject" not in answer.headers

    def test_the_proof_of_another_key_or_none(self, world, signer, token):
        for text in (None, "", "x", self.made(world, Signer(), token)):
            answer = self.call(world, token, text)
            assert answer.status_code == 401
            assert 'error="invalid_dpop_proof"' in answer.headers["WWW-Authenticate"]

    def test_a_proof_is_good_once(self, world, signer, token):
        text = self.made(world, signer, token)
        assert [self.call(world, token, text).status_code for _ in range(3)] == [204, 401, 401]

    def test_where_the_gateway_says_no_address_nothing_passes(self, world, signer, token):
        for header in ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Method"):
            assert self.call(world, token, self.made(world, signer, token), **{header: ""}).status_code == 401
        headers = {"DPoP": self.made(world, signer, token)}
        assert ask(world, f"DPoP {token}", "role=reader", **headers).status_code == 401

    def test_whoever_has_only_the_token_cannot_keep_it_alive(self, world, signer, token):
        for _ in range(4):
            world.clock.at += 600
            self.call(world, token, scheme="Bearer")
            self.call(world, token, self.made(world, Signer(), token))
        answer = self.call(world, token, self.made(world, signer, token))
        assert answer.status_code == 401, "it idled out"
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
