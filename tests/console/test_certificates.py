"""TLS certificates of a credential in the console: one is pasted, a name is given, both are removed."""

import pytest

from tests.support.certificates import BEGINS, self_signed
from tests.support.console_browser import builder, signed_in


@pytest.fixture
def page(browser):
    """The address of the credential's page."""
    return f"/console/credentials/{browser.world.client[0]}"


def test_the_whole_way(browser, page):
    world, mine = browser.world, self_signed()
    form = browser.get(page + "/certificates/add")
    after = form.send(page + "/certificates/add", certificate=mine.pem)
    assert mine.thumbprint in after.words
    assert "CN=payroll,O=Acme,C=DE" in after.words
    assert "A TLS certificate was added" in after.words
    after = browser.get(page + "/certificates/add").send(
        page + "/certificates/add", name="san_dns", value="PAYROLL.example.com"
    )
    assert "payroll.example.com" in after.words
    first, second = world.accounts.credential(world.client[0]).certificates
    removal = browser.get(f"{page}/certificates/{first.id}/remove")
    assert "die now" in removal.words
    gone = removal.send(f"{page}/certificates/{first.id}/remove")
    assert "The certificate is removed" in gone.words
    again = browser.get(f"{page}/certificates/{first.id}/remove").send(f"{page}/certificates/{first.id}/remove")
    assert "had been removed already" in again.words
    ends = {each.id: each.ends_at for each in world.accounts.credential(world.client[0]).certificates}
    assert ends == {first.id: world.clock.at, second.id: None}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, "Paste a certificate"),
        ({"certificate": "x", "name": "san_dns", "value": "a.b"}, "Paste a certificate"),
        ({"certificate": "x"}, "not one certificate in PEM"),
        ({"certificate": self_signed(ends=BEGINS + 9).pem}, "certificate is over"),
        ({"name": "san_dns", "value": "*.example.com"}, "without a wildcard"),
        ({"name": "subject_dn", "value": "payroll"}, "RFC 4514"),
        ({"name": "issuer_dn", "value": "payroll"}, "one of"),
    ],
)
def test_what_is_refused_stays_typed(browser, page, typed, said):
    refused = browser.get(page + "/certificates/add").send(page + "/certificates/add", **typed)
    assert refused.status == 400
    assert said in refused.words, refused.words
    assert typed.get("value", "") in refused.text


def test_a_private_key_is_not_given_back(browser, page):
    mine = self_signed()
    refused = browser.get(page + "/certificates/add").send(
        page + "/certificates/add", certificate=mine.pem + mine.key_pem
    )
    assert refused.status == 400
    assert "PRIVATE KEY" not in refused.text
    assert mine.key_pem[40:80] not in refused.text


def test_INV_09_a_foreign_credential_is_an_unknown_one(browser, page):
    builder(browser.world, "eve")
    eve = signed_in(browser.world, "eve")
    for path in ("/certificates/add", "/certificates/crt_x/remove"):
        assert eve.get(page + path).status == 404
