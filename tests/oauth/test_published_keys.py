"""``jwks_uri``: a client that signs with keys it publishes itself, and rotates them by itself (RFC 7591 §2)."""

import json

import pytest

from authserver.actions.client_authentication import key_addresses
from authserver.ports.errors import Conflict, Invalid, NotFound
from tests.support.assertions import Signer, assertion, registered, token
from tests.support.issuers import Issuer, Web
from tests.support.wsgi_client import BACKENDS, Tick, noted, opened

URI = "https://client.example.com/jwks"


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    yield from opened(request.param, tmp_path_factory.mktemp("published"))


class Site:
    """A client with one key, and what it publishes."""

    def __init__(self, world):
        self.web, self.tick, self.pair = Web(), Tick(), Issuer("https://client.example.com", "ES256")
        self.client_id = world.credential()[0]
        self.publish()
        world.services.remote_keys.__init__(get=self.web.get, clock=self.tick)
        key_addresses.publish(world.accounts, self.client_id, URI, **world.who)

    def publish(self):
        self.web.documents[URI] = json.dumps(self.pair.jwks).encode()


@pytest.fixture
def site(world):
    return Site(world)


def ask(world, site, signer=None, **header):
    text = assertion(world, site.client_id, signer or site.pair.signer, {"kid": site.pair.kid, **header})
    with noted(world) as notes:
        return token(world, text), notes


def test_a_key_that_is_published_there_signs(world, site):
    for _ in range(3):
        answer, _notes = ask(world, site)
        assert answer.status_code == 200, answer.text
        assert world.active(answer.json["access_token"])
    assert site.web.asked == [URI]


def test_a_client_rotates_by_itself(world, site):
    assert ask(world, site)[0].status_code == 200
    old = site.pair.signer
    site.pair.signer, site.pair.kid = Signer("ES256"), "k2"
    site.publish()
    site.tick.at += 31
    assert ask(world, site)[0].status_code == 200
    answer, notes = ask(world, site, old, kid="k1")
    assert (answer.status_code, notes[-1]["reason"]) == (401, "assertion_signature")


def test_a_forger_makes_it_be_fetched_once_in_30_seconds(world, site):
    assert ask(world, site)[0].status_code == 200
    site.tick.at += 31
    for number in range(10):
        answer, notes = ask(world, site, Signer(), kid=f"x{number}")
        assert (answer.status_code, notes[-1]["reason"]) == (401, "assertion_signature")
    assert len(site.web.asked) == 2


def test_an_assertion_is_good_once_here_too(world, site):
    text = assertion(world, site.client_id, site.pair.signer, {"kid": "k1"})
    assert token(world, text).status_code == 200
    assert token(world, text).status_code == 401


def test_a_pasted_key_works_while_the_address_does_not(world, site):
    site.web.down = {URI}
    answer, _notes = ask(world, site)
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    pasted = Signer()
    registered(world, site.client_id, pasted)
    assert token(world, assertion(world, site.client_id, pasted)).status_code == 200


def test_the_keys_of_one_client_are_no_keys_of_another(world, site):
    other = world.credential()[0]
    answer = token(world, assertion(world, other, site.pair.signer, {"kid": "k1"}))
    assert answer.status_code == 401


def test_its_tokens_die_with_the_address(world, site):
    issued = ask(world, site)[0].json["access_token"]
    key_addresses.withdraw(world.accounts, site.client_id, **world.who)
    assert not world.active(issued)
    answer, notes = ask(world, site)
    assert (answer.status_code, notes[-1]["reason"]) == (401, "assertion_signature")
    with pytest.raises(NotFound):
        key_addresses.withdraw(world.accounts, site.client_id, **world.who)


def test_one_address_at_a_time(world, site):
    issued = ask(world, site)[0].json["access_token"]
    with pytest.raises(Conflict):
        key_addresses.publish(world.accounts, site.client_id, URI, **world.who)
    key_addresses.publish(world.accounts, site.client_id, f"{URI}/next", **world.who)
    assert not world.active(issued)
    assert world.accounts.credential(site.client_id).works_without_secret
    kept = [each.ends_at for each in world.accounts.credential(site.client_id).key_addresses]
    assert kept.count(None) == 1


@pytest.mark.parametrize("uri", ["http://client.example.com/jwks", "file:///etc/passwd", "", "https://a@b/", "x" * 300])
def test_T_141_an_address_is_https(world, site, uri):
    with pytest.raises(Invalid):
        key_addresses.publish(world.accounts, site.client_id, uri, **world.who)
