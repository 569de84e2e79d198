"""Metrics."""

import re

from prometheus_client.parser import text_string_to_metric_families

from authserver.actions import resource_servers
from authserver.telemetry.metrics import GAUGES, Metrics
from tests.support.wsgi_client import basic
from tests.telemetry.support import exposition, number

HARMLESS = re.compile(r"[A-Za-z0-9_.]{0,32}")


def test_metrics_count_what_happened(world):
    token = world.access_token()
    world.introspect(token)
    world.introspect("nonsense")
    world.token(("nobody", "nothing"))
    world.post("/oauth/revoke", {"token": token}, world.client)
    world.http.get("/.well-known/jwks.json")
    world.store.usage.flush()
    families = exposition(world)
    assert number(families, "oauth_token_requests", outcome="granted") == 1
    assert number(families, "oauth_token_requests", outcome="invalid_client") == 1
    assert number(families, "oauth_token_request_duration_seconds") == 2
    assert number(families, "oauth_introspection_requests", active="true") == 1
    assert number(families, "oauth_introspection_requests", active="false") == 1
    assert number(families, "oauth_client_auth_failures") == 1
    assert number(families, "oauth_revocation_requests", outcome="revoked") == 1
    assert number(families, "oauth_jwks_requests", status="200") == 1
    assert number(families, "oauth_credentials", state="live") == 1
    assert number(families, "oauth_tokens_ended", reason="revoked") == 1
    assert number(families, "oauth_signing_key_age_seconds", alg="ES256", state="active") == 0
    assert set(GAUGES) <= families.keys()


def test_labels_hold_nothing_a_caller_chose(world):
    chosen = "CallerChosen"
    for path in ("/oauth/token", "/OAuth/Token", "/oauth/introspect", "/oauth/revoke", f"/{chosen}"):
        for auth in (None, (chosen, chosen), world.client, world.api):
            form = dict.fromkeys(("token", "scope", "resource", "http_route", "http_method"), chosen)
            world.post(path, form, auth)
            world.post(path, {**form, "grant_type": "client_credentials"}, auth)
            world.post(path, {"grant_type": chosen}, auth)
            world.http.open(path, method=chosen.upper())
    families = exposition(world)
    assert chosen.lower() not in str(families).lower()
    for family in families.values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or HARMLESS.fullmatch(value), (sample.name, label, value)
                assert value != world.client[0]


def test_metrics_show_gauges_beside_counters(written):
    def gauges():
        return {"oauth_build_info": {("1",): 1.0}}

    families = {f.name for f in text_string_to_metric_families(Metrics(gauges).exposition().decode())}
    assert {"oauth_token_requests", "oauth_build_info"} <= families


def test_metrics_are_for_the_configured_networks_only(world):
    for peer in ("192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "", "unix:"):
        answer = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": peer})
        assert answer.status_code == 404, peer
        assert answer.json["error"] == "not_found"
    for peer in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        exposition(world, REMOTE_ADDR=peer)


def test_metrics_are_not_told_through_a_proxy(world):
    local = {"REMOTE_ADDR": "127.0.0.1"}
    for mark in ("X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host", "Forwarded", "Via", "X-Real-IP"):
        answer = world.http.get("/metrics", headers={mark: "127.0.0.1"}, environ_overrides=local)
        assert answer.status_code == 404, mark


def test_metrics_count_reports_fetches_of_the_feed_gateways_and_leases(world):
    headers = {"Authorization": basic(*world.api)}
    server = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    resource_servers.bound_staleness(world.accounts, server.name, 20, **world.who)
    token = world.access_token()
    world.introspect(token)
    world.http.post("/oauth/usage", data="{}", headers=headers, content_type="application/json")
    world.http.get("/oauth/changes", headers=headers)
    gateway = {"X-Gateway-Authorization": basic(*world.api), "Authorization": f"Bearer {token}"}
    assert world.http.get("/oauth/forward-auth", headers=gateway).status_code == 204
    families = exposition(world)
    assert number(families, "oauth_usage_reports", outcome="invalid_request") == 1
    assert number(families, "oauth_change_feed_requests", outcome="changes") == 1
    assert number(families, "oauth_forward_auth_requests", outcome="active") == 1
    assert number(families, "oauth_leases", endpoint="introspection") == 1
    assert number(families, "oauth_leases", endpoint="forward_auth") == 1
