"""Modes "leased" and "feed" against the real server: what ends is known within S, and uses are reported."""

import contextlib

import pytest

from resource_server import InvalidToken, Verifier
from tests.resource_server.real import AUDIENCE
from tests.support.deadlines import wait_until

S = 4


@pytest.fixture(scope="module")
def api(real):
    """The API, which may trust an answer for S seconds while these tests run."""
    real.flask("resource-servers", "edit", "api", "--max-staleness", str(S))
    yield real
    real.flask("resource-servers", "edit", "api", "--max-staleness", "0")


@pytest.fixture(params=["leased", "feed"])
def verifier(api, request):
    with Verifier(api.issuer, AUDIENCE, api.api, mode=request.param, max_staleness=S, report_interval=0.2) as made:
        yield made


def refused(verifier, text):
    with contextlib.suppress(InvalidToken):
        verifier.verify(text)
        return False
    return True


def test_calls_do_not_ask_the_server_each_time(api, verifier):
    text = api.token()
    for _ in range(50):
        verifier.verify(text, roles=["reader"])
    assert verifier.counts().get("introspected", 0) <= 1
    assert verifier.counts()["accepted"] == 50


def test_uses_are_reported_and_taken(api, verifier):
    text = api.token()
    for _ in range(3):
        verifier.verify(text, method="GET", route="/things/{id}")
    wait_until("a report", lambda: verifier.counts().get("reported"))
    assert not verifier.counts().get("report_dropped")
    verifier.verify(text)


def test_INV_30_a_revoked_token_is_refused_within_S(api, verifier):
    text = api.token()
    verifier.verify(text)
    api.revoke(text)
    wait_until("the refusal", lambda: refused(verifier, text), seconds=S + 1)


def test_INV_30_a_role_change_is_learned_within_S(api, verifier):
    text = api.token()
    verifier.verify(text)
    api.flask("users", "revoke", "ada", "writer")
    try:
        wait_until("the refusal", lambda: refused(verifier, text), seconds=S + 1)
        fresh = api.token()
        assert verifier.verify(fresh).roles == {"reader"}
    finally:
        api.flask("users", "grant", "ada", "writer")


def test_INV_30_a_disabled_credential_is_learned_within_S(api, verifier):
    words = ["--owner", "ada", "--name", "short", "--expires-in", "90d", "--role", "reader"]
    made = api.flask("credentials", "create", *words)
    form = {"grant_type": "client_credentials", "resource": AUDIENCE}
    text = api.server.post("/oauth/token", form, (made["client_id"], made["client_secret"]))[1]["access_token"]
    verifier.verify(text)
    api.flask("credentials", "disable", made["client_id"])
    wait_until("the refusal", lambda: refused(verifier, text), seconds=S + 1)


def test_a_token_of_another_audience_is_refused(api, verifier):
    assert refused(verifier, api.token(resource="https://other.example.com"))
