"""What a credential is held to, in the console: shown, replaced, refused."""

import json

import pytest
from sqlalchemy import update

from authserver.rules.client_authentication.restrictions import restrictions_of
from authserver.store.tables import credentials
from tests.support.console_browser import builder, signed_in


@pytest.fixture
def page(browser):
    """The address of the form."""
    return f"/console/credentials/{browser.world.client[0]}/restrict"


def held(browser):
    return restrictions_of(browser.world.accounts.credential(browser.world.client[0]).restrictions)


def test_they_are_replaced_and_shown(browser, page):
    issued = browser.world.access_token()
    after = browser.get(page).send(
        page,
        networks="192.0.2.0/24\n2001:db8::/32",
        audiences="https://api.example.com",
        minutes="10",
        bound="1",
        sessions="2",
        end_oldest="1",
        rate="60",
    )
    assert "tokens from before are dead" in after.words
    assert "Only from 192.0.2.0/24, 2001:db8::/32" in after.words
    assert "2 live sessions at most: the oldest ends" in after.words
    assert "60 token requests a minute" in after.words
    assert not browser.world.active(issued)
    found = held(browser)
    assert (found.lifetime, found.bound, found.audiences) == (600, True, {"https://api.example.com"})
    assert (found.sessions, found.end_oldest, found.rate) == (2, True, 60)
    shown = browser.get(page)
    assert "2001:db8::/32" in shown.text
    assert 'value="10"' in shown.text
    assert "checked" in shown.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"networks": "192.0.2.1/24"}, "no bits set"),
        ({"networks": "everywhere"}, "A network is written as"),
        ({"minutes": "ten"}, "whole number of minutes"),
        ({"sessions": "two"}, "whole numbers"),
        ({"rate": "9999"}, "1 to 6000 token requests"),
        ({"end_oldest": "1"}, "how many sessions may live"),
        ({"minutes": "9999"}, "1 minute to 24 hours"),
        ({"audiences": "https://nobody.example.com"}, "no resource server"),
        ({}, "just so already"),
    ],
)
def test_what_cannot_be_is_refused_and_stays_typed(browser, page, typed, said):
    before = held(browser)
    refused = browser.get(page).send(page, **{"networks": "", "minutes": "", **typed})
    assert refused.status == 400
    assert said.lower() in refused.words.lower()
    assert held(browser) == before


def test_INV_24_what_a_newer_version_wrote_is_not_replaced(browser, page):
    form = browser.get(page)
    world, newer = browser.world, json.dumps({"networks": ["192.0.2.0/24"], "countries": ["DE"]})
    with world.store.engine.connect().execution_options(write=True) as connection:
        mine = credentials.c.client_id == world.client[0]
        connection.execute(update(credentials).where(mine).values(restrictions=newer))
        connection.commit()
    assert "written by a newer version" in browser.get(page).words
    assert "written by a newer version" in form.send(page, networks="", minutes="").words
    assert world.accounts.credential(world.client[0]).restrictions == newer


def test_INV_09_a_foreign_credential_is_an_unknown_one(browser, page):
    builder(browser.world, "eve")
    assert signed_in(browser.world, "eve").get(page).status == 404
