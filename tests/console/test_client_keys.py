"""The keys of a credential in the console: pasted, compared by thumbprint, removed; and the end of all secrets."""

import json

import pytest
from sqlalchemy import update

from authserver.actions import client_keys, credentials, general_settings
from authserver.rules.client_authentication.restrictions import restrictions
from authserver.store.tables import secrets
from tests.support.assertions import Signer, assertion, token
from tests.support.console_browser import Browser, builder, signed_in


@pytest.fixture
def page(browser):
    """The address of the credential's page."""
    return f"/console/credentials/{browser.world.client[0]}"


def test_a_key_is_pasted_and_its_thumbprint_shown(browser, page):
    world, signer = browser.world, Signer()
    shown = browser.get(page + "/keys/add")
    assert "openssl genpkey" in shown.text
    after = shown.send(page + "/keys/add", public_key=signer.pem)
    assert after.path.startswith(page), after.words
    assert f"Compare its thumbprint with your own: {signer.thumbprint}" in after.words
    assert token(world, assertion(world, world.client[0], signer)).status_code == 200
    world.store.usage.flush()
    detail = browser.get(page)
    assert signer.thumbprint in detail.words
    assert "First used" in detail.words
    assert "A key was added" in detail.words


@pytest.mark.parametrize("spelling", ["jwk", "set", "pem with CRLF"])
def test_in_every_spelling(browser, page, spelling):
    signer = Signer("EdDSA")
    text = {
        "jwk": json.dumps(signer.jwk, indent=2),
        "set": json.dumps({"keys": [signer.jwk]}),
        "pem with CRLF": signer.pem.replace("\n", "\r\n"),
    }[spelling]
    after = browser.get(page + "/keys/add").send(page + "/keys/add", public_key=f"\n {text} \n")
    assert signer.thumbprint in after.words


def test_an_rsa_key_needs_its_algorithm(browser, page):
    signer = Signer("PS256")
    refused = browser.get(page + "/keys/add").send(page + "/keys/add", public_key=signer.pem)
    assert refused.status == 400
    assert "choose the one that the client uses" in refused.words
    assert signer.pem.splitlines()[1] in refused.text, "what was typed stays"
    assert signer.thumbprint in refused.send(page + "/keys/add", public_key=signer.pem, alg="PS256").words


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_a_private_key_is_refused_and_not_given_back(browser, page, alg, capfd):
    signer = Signer(alg)
    refused = browser.get(page + "/keys/add").send(page + "/keys/add", public_key=signer.private_pem)
    assert refused.status == 400
    assert "must never leave the client" in refused.words
    secret = signer.private_pem.splitlines()[1]
    assert secret not in refused.text
    assert secret not in capfd.readouterr().err
    assert browser.world.accounts.credential(browser.world.client[0]).keys == ()


def test_a_key_is_removed_after_a_question_and_its_tokens_die(browser, page):
    world, signer = browser.world, Signer()
    client_keys.add(world.accounts, world.client[0], signer.pem, **world.who)
    text = token(world, assertion(world, world.client[0], signer)).json["access_token"]
    asking = browser.get(f"{page}/keys/{signer.thumbprint}/remove")
    assert "tokens that it obtained die" in asking.words
    assert world.active(text)
    after = asking.send(f"{page}/keys/{signer.thumbprint}/remove")
    assert "The key is removed" in after.words
    assert not world.active(text)
    again = browser.get(f"{page}/keys/{signer.thumbprint}/remove").send(f"{page}/keys/{signer.thumbprint}/remove")
    assert "had been removed already" in again.words


def test_all_secrets_end_only_where_a_key_works(browser, page):
    world, signer = browser.world, Signer()
    refused = browser.get(page + "/secrets/end").send(page + "/secrets/end")
    assert refused.status == 409
    assert "add a key first" in refused.words
    assert world.token().status_code == 200
    client_keys.add(world.accounts, world.client[0], signer.pem, **world.who)
    assert "End all secrets" in browser.get(page).words
    after = browser.get(page + "/secrets/end").send(page + "/secrets/end")
    assert "No secret works any more" in after.words
    assert world.token().status_code == 401
    assert "All secrets ended" in after.words


def test_the_owner_reads_why_an_assertion_was_refused(browser, page):
    world, signer = browser.world, Signer()
    client_keys.add(world.accounts, world.client[0], signer.pem, **world.who)
    text = assertion(world, world.client[0], signer)
    assert token(world, text).status_code == 200
    token(world, text)
    token(world, assertion(world, world.client[0], Signer()))
    token(world, assertion(world, world.client[0], signer, aud="https://other.example.com"))
    world.store.usage.flush()
    words = browser.get(page).words
    for said in ("was used before", "that no key of the credential made", "aud is not the issuer"):
        assert said in words


def test_nobody_adds_a_key_to_a_foreign_credential(browser, page):
    world = browser.world
    builder(world, "bob", ("users:manage", "security:view"))
    other: Browser = signed_in(world, "bob")
    assert other.get(page + "/keys/add").status == 404
    sent = other.post(page + "/keys/add", {"public_key": Signer().pem, "_csrf": other.csrf()})
    assert sent.status == 404
    assert world.accounts.credential(world.client[0]).keys == ()


def test_the_owner_sees_what_the_credential_is_held_to(browser, page):
    world = browser.world
    wanted = restrictions(["192.0.2.0/24", "2001:db8::/32"], ["https://api.example.com"], 600, bound=True)
    assert "Restrictions" not in browser.get(page).words
    credentials.restrict(world.accounts, world.client[0], wanted, **world.who)
    words = browser.get(page).words
    for said in (
        "Only from 192.0.2.0/24, 2001:db8::/32",
        "Only for https://api.example.com",
        "Tokens live for 10 minutes",
        "Tokens must be bound to a key (DPoP)",
        "Restrictions changed",
    ):
        assert said in words


def test_the_owner_of_an_old_secret_is_asked_to_use_a_key(browser, page):
    world = browser.world
    with world.store.engine.connect().execution_options(write=True) as connection:
        connection.execute(update(secrets).values(created_at=world.clock.at - 40 * 86400))
        connection.commit()
    for days, told in ((0, False), (41, False), (40, True)):
        if days:
            general_settings.set_general(world.accounts, "secret_notice_days", str(days), **world.who)
        assert ("Its secret is 40 days old" in browser.get(page).words) is told
        assert ("Secret of 40 days" in browser.get("/console/credentials").words) is told
    assert "Use a key instead" in browser.get(page).words
    client_keys.add(world.accounts, world.client[0], Signer().pem, "", **world.who)
    assert "Use a key instead" not in browser.get(page).words
    credentials.end_secrets(world.accounts, world.client[0], **world.who)
    assert "Its secret is" not in browser.get(page).words


def test_the_address_where_a_client_publishes_its_keys(browser, page):
    world, uri = browser.world, "https://client.example.com/jwks"
    saved = browser.get(page + "/keys/add").send(page + "/keys/publish", jwks_uri=uri)
    assert "The address of its keys is saved." in saved.words
    assert uri in browser.get(page).words
    assert world.accounts.credential(world.client[0]).works_without_secret
    refused = browser.get(page + "/keys/add").send(page + "/keys/publish", jwks_uri="http://client.example.com/jwks")
    assert refused.status == 400
    assert "https" in refused.words
    browser.get(page + "/keys/add").send(page + "/keys/publish", jwks_uri="")
    assert not world.accounts.credential(world.client[0]).works_without_secret
    assert "The address of its keys was removed" in browser.get(page).words
