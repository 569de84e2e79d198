"""The question of gateways: may this call pass?"""

import pytest

from authserver.actions import resource_servers, users
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
    told = [answer.headers[f"X-Auth-{name}"] for name in ("Subject", "Client", "Roles")]
    assert told == [claims["sub"], claims["client_id"], "reader writer"]
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
