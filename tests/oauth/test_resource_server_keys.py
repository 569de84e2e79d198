"""private_key_jwt of resource servers: an API signs instead of sending its secret (RFC 7662 §2.1, RFC 7523 §2.2)."""

import uuid

import pytest

from authserver.actions import client_keys
from authserver.actions import resource_servers as resource_server_actions
from authserver.ports.errors import Conflict, NotFound
from tests.support.assertions import ALGORITHMS, Signer, assertion, form, registered
from tests.support.wsgi_client import BACKENDS, basic, noted, opened


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


@pytest.fixture
def signer(world):
    made = Signer()
    client_keys.add_to_server(world.accounts, "api", made.pem, **world.who)
    return made


def ask(world, token, text, **more):
    return world.post("/oauth/introspect", form(text, token=token, **more))


def refused(world, token, text, reason):
    with noted(world) as notes:
        answer = ask(world, token, text)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
    assert answer.json["error_description"].startswith("Unknown resource server, wrong secret")
    assert notes[-1]["reason"] == reason


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_api_asks_by_its_key(world, alg):
    signer, token = Signer(alg), world.access_token()
    named = alg if alg in {"RS256", "PS256"} else ""
    client_keys.add_to_server(world.accounts, "api", signer.pem, named, **world.who)
    answer = ask(world, token, assertion(world, world.api[0], signer))
    assert (answer.status_code, answer.json["active"]) == (200, True), answer.text
    assert world.active(token), "and its secret works as before"


def test_it_counts_as_a_use(world, signer):
    token = world.access_token()
    for _ in range(4):
        world.clock.at += 1500
        assert ask(world, token, assertion(world, world.api[0], signer)).json["active"] is True


def test_T_049_an_assertion_is_good_once(world, signer):
    token, text = world.access_token(), assertion(world, world.api[0], signer)
    assert ask(world, token, text).json["active"] is True
    refused(world, token, text, "assertion_replayed")


def test_T_065_what_is_refused(world, signer):
    token, api = world.access_token(), world.api[0]
    refused(world, token, assertion(world, api, Signer()), "assertion_signature")
    refused(world, token, assertion(world, api, signer, aud="https://x.example"), "assertion_audience")
    refused(world, token, assertion(world, api, signer, exp=world.clock.at), "assertion_expired")
    refused(world, token, assertion(world, "00000000-0000-4000-8000-000000000000", signer), "no_key")
    refused(world, token, "x", "malformed_assertion")
    refused(world, token, token, "assertion_subject")
    # The key of a client is not one of an API, nor the other way round.
    other = Signer()
    registered(world, world.client[0], other)
    refused(world, token, assertion(world, world.client[0], other), "no_key")
    answer = world.post("/oauth/token", {"grant_type": "client_credentials", **form(assertion(world, api, signer))})
    assert answer.status_code == 401


def test_a_removed_key_and_a_disabled_api(world, signer):
    token, api = world.access_token(), world.api[0]
    resource_server_actions.disable_resource_server(world.accounts, "api", **world.who)
    refused(world, token, assertion(world, api, signer), "credential_disabled")
    resource_server_actions.enable_resource_server(world.accounts, "api", **world.who)
    assert ask(world, token, assertion(world, api, signer)).status_code == 200
    client_keys.remove_from_server(world.accounts, "api", signer.thumbprint, **world.who)
    refused(world, token, assertion(world, api, signer), "key_ended")
    with pytest.raises(NotFound):
        client_keys.remove_from_server(world.accounts, "api", signer.thumbprint, **world.who)


def test_two_keys_at_most(world, signer):
    with pytest.raises(Conflict, match="already"):
        client_keys.add_to_server(world.accounts, "api", signer.pem, **world.who)
    client_keys.add_to_server(world.accounts, "api", Signer().pem, **world.who)
    with pytest.raises(Conflict, match="most"):
        client_keys.add_to_server(world.accounts, "api", Signer().pem, **world.who)
    keys = world.accounts.server_keys("api")
    assert [each.ends_at for each in keys] == [None, None]
    events = [each.event for each in world.accounts.audit_newest(2)]
    assert events == ["resource_server.key_added", "resource_server.key_added"]


def test_one_way_only(world, signer):
    token, text = world.access_token(), assertion(world, world.api[0], signer)
    headers = {"Authorization": basic(*world.api)}
    answer = world.http.post("/oauth/introspect", data=form(text, token=token), headers=headers)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    answer = ask(world, token, text, client_secret=world.api[1])
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert ask(world, token, text).json["active"] is True


def test_M_05_the_metadata_says_so(world):
    document = world.http.get("/.well-known/oauth-authorization-server").json
    assert "private_key_jwt" in document["introspection_endpoint_auth_methods_supported"]
    assert set(ALGORITHMS) <= set(document["introspection_endpoint_auth_signing_alg_values_supported"])


def report(text):
    uses = [{"jti": "unknown", "at": 1, "count": 1, "method": "GET", "route": "/"}]
    return {
        "method": "POST",
        "json": {"report_id": str(uuid.uuid4()), "uses": uses},
        "headers": {"Authorization": text},
    }


ELSEWHERE = {
    "usage": lambda world, text: world.http.open("/oauth/usage", **report(text)),
    "changes": lambda world, text: world.http.get("/oauth/changes", headers={"Authorization": text}),
    "forward-auth": lambda world, text: world.http.get(
        "/oauth/forward-auth",
        headers={"X-Gateway-Authorization": text, "Authorization": f"Bearer {world.access_token()}"},
    ),
    "shared signals": lambda world, text: world.http.get("/ssf/streams", headers={"Authorization": text}),
}


def test_T_049_requests_without_a_form_carry_the_assertion_in_a_header(world, signer):
    api, other = world.api[0], Signer()
    registered(world, world.client[0], other)
    used = assertion(world, api, signer)
    assert ELSEWHERE["changes"](world, f"Bearer {used}").status_code == 200
    refused(world, world.access_token(), used, "assertion_replayed")  # what was used at one endpoint is used at all
    for ask in ELSEWHERE.values():
        answer = ask(world, f"Bearer {assertion(world, api, signer)}")
        assert answer.status_code in {200, 204}, answer.text
        for wrong, reason in (
            (used, "assertion_replayed"),
            (assertion(world, api, Signer()), "assertion_signature"),
            (assertion(world, api, signer, aud="https://api.example.com"), "assertion_audience"),
            (assertion(world, world.client[0], other), "no_key"),
            (world.access_token(), "assertion_subject"),
            ("x", "malformed_assertion"),
        ):
            with noted(world) as notes:
                answer = ask(world, f"bearer {wrong}")
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
            assert answer.json["error_description"].startswith("Unknown resource server, wrong secret")
            assert notes[-1]["reason"] == reason
    client_keys.remove_from_server(world.accounts, "api", signer.thumbprint, **world.who)
    for ask in ELSEWHERE.values():
        assert ask(world, f"Bearer {assertion(world, api, signer)}").status_code == 401
        assert ask(world, basic(*world.api)).status_code in {200, 204}
