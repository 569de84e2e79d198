"""Trusts of a credential in the console: added, tried with a token, removed."""

import json

import pytest

from tests.support import issuers
from tests.support.assertions import token
from tests.support.console_browser import Browser, builder, signed_in
from tests.support.issuers import KUBERNETES, Issuer

SUBJECT = "system:serviceaccount:payroll:export"


@pytest.fixture
def page(browser):
    """The address of the credential's page."""
    return f"/console/credentials/{browser.world.client[0]}"


def typed(signer, **changed):
    return {"issuer": KUBERNETES, "subject": SUBJECT, "jwks": json.dumps(signer.jwks), **changed}


def test_the_whole_way(browser, page):
    world, issuer = browser.world, Issuer(KUBERNETES, header={})
    form = browser.get(page + "/trusts/add")
    assert "system:serviceaccount:NAMESPACE:NAME" in form.text
    after = form.send(page + "/trusts/add", **typed(issuer, claims="/kubernetes.io/namespace=payroll\n"))
    assert after.path == page + "/trusts/try", after.words
    good = issuer.sign(issuers.kubernetes(world.clock.at, aud=[world.services.issuer]))
    tried = after.send(page + "/trusts/try", secret_token=good)
    assert "Would get a token" in tried.words
    assert good not in tried.text, "a token is a credential while it lives"
    other = issuers.kubernetes(world.clock.at, aud=[world.services.issuer], sub="system:serviceaccount:x:y")
    refused = tried.send(page + "/trusts/try", secret_token=issuer.sign(other))
    assert "Would be refused" in refused.words
    assert "system:serviceaccount:x:y" in refused.words
    assert token(world, good, client_id=world.client[0]).status_code == 200
    detail = browser.get(page)
    assert KUBERNETES in detail.words
    assert f"sub = {SUBJECT}" in detail.words
    assert "A trust in an issuer was added" in detail.words
    (trust,) = world.accounts.credential(world.client[0]).trusts
    removal = browser.get(f"{page}/trusts/{trust.id}/remove")
    assert "die now" in removal.words
    gone = removal.send(f"{page}/trusts/{trust.id}/remove")
    assert "The trust is removed" in gone.words
    assert token(world, good, client_id=world.client[0]).status_code == 401


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"subject": "a:*"}, "two parts before any wildcard"),
        ({"claims": "no equals"}, "NAME=VALUE"),
        ({"issuer": "http://example.com"}, "https"),
        ({"jwks": "{}"}, "JWK set"),
        ({"jwks_uri": "https://example.com/jwks"}, "not both"),
    ],
)
def test_what_is_refused_stays_typed(browser, page, changed, said):
    refused = browser.get(page + "/trusts/add").send(page + "/trusts/add", **typed(Issuer(KUBERNETES), **changed))
    assert refused.status == 400
    assert said in refused.words
    assert SUBJECT in refused.text or "subject" in changed


def test_what_is_no_token_is_told_and_not_given_back(browser, page):
    browser.get(page + "/trusts/add").send(page + "/trusts/add", **typed(Issuer(KUBERNETES)))
    refused = browser.get(page + "/trusts/try").send(page + "/trusts/try", secret_token="no-token-at-all")
    assert refused.status == 400
    assert "This is no JWT" in refused.words
    assert "no-token-at-all" not in refused.text


def test_INV_09_a_foreign_credential_is_an_unknown_one(browser, page):
    builder(browser.world, "eve")
    eve = signed_in(browser.world, "eve")
    for path in ("/trusts/add", "/trusts/try", "/trusts/tru_x/remove"):
        assert eve.get(page + path).status == 404
    assert isinstance(eve, Browser)
