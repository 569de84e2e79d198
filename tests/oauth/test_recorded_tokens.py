"""INV-33: only what was recorded as issued can be active; a signature alone is not enough."""

import base64
import json

import pytest
from sqlalchemy import select, update
from werkzeug.test import Client

from app import create_app
from authserver.config import Config
from authserver.oauth.parsed_requests import ParsedRequestCache
from authserver.rules.idle import USE_TOLERANCE
from authserver.rules.token_hash import token_hash, token_hash_key
from authserver.store.tables import sessions
from tests.conftest import World

AFTER = USE_TOLERANCE + 1


def claims_in(text):
    body = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def forge(world, **changes):
    """A token that a thief of the signing key makes, from all that a real one says."""
    text = world.access_token()
    world.store.usage.flush()
    header = text.split(".")[0]
    kid = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    claims = claims_in(text) | {"jti": f"{world.clock.at:08x}" + "f" * 24} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return world.services.keys().sign(kid, claims)


def node(world):
    """Another node over the same database."""
    config = Config(database_url=world.url, master_key="A" * 43, issuer="http://127.0.0.1:8000")
    services = create_app(config, clock=world.clock, background=False).extensions["services"]
    other = object.__new__(World)
    other.__dict__.update(world.__dict__, services=services, store=services.store())
    other.http = Client(services.wsgi())
    return other


def row(world, text):
    world.store.usage.flush()
    with world.store.engine.connect() as connection:
        return connection.execute(select(sessions).where(sessions.c.jti == claims_in(text)["jti"])).one_or_none()


def test_INV_33_a_forged_token_is_dead_after_epsilon_on_every_node(world):
    other = node(world)
    forged = forge(world)
    world.clock.at += AFTER
    assert not world.active(forged)
    assert not other.active(forged)
    assert row(world, forged) is None  # a thief fills no table
    other.services.close()


def test_INV_33_a_forged_token_that_was_believed_within_epsilon_dies_with_it(world):
    forged = forge(world)
    assert world.active(forged)  # another node may have issued it a moment ago
    assert row(world, forged).token_hash == ""
    world.clock.at += AFTER
    assert not world.active(forged)


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": ["reader", "builder"], "scope": "reader builder"},
        {"roles": ["admin"], "scope": "admin"},
        {"sub": "00000000-0000-0000-0000-000000000000"},
    ],
)
def test_INV_33_within_epsilon_roles_and_owner_must_be_the_credentials(world, changes):
    assert not world.active(forge(world, **changes))


def test_INV_33_a_recorded_token_is_known_by_its_text_on_every_node(world):
    other = node(world)
    text = world.access_token()
    world.store.usage.flush()
    other.services.keys()._reader = None  # a signature cannot be verified there
    for _ in range(2):
        assert other.active(text)
    world.clock.at += AFTER
    assert other.active(text)
    other.services.close()


def test_INV_33_no_other_spelling_of_a_recorded_token_is_active(world):
    text = world.access_token()
    world.store.usage.flush()
    header, body, signature = text.split(".")
    padded = json.dumps(claims_in(text), indent=1).encode()
    spaced = base64.urlsafe_b64encode(padded).rstrip(b"=").decode()
    last = {"A": "B", "Q": "R", "g": "h", "w": "x"}.get(signature[-1], "A")
    for wrong in (
        f"{header}.{spaced}.{signature}",
        f"{header}.{body}.{signature[:-1]}{last}",
        f"{header}.{body}.AAAA",
        f"{header}.{body}.{signature}.x",
        f"{header}.{body}=.{signature}",
    ):
        assert not world.active(wrong)
    assert world.active(text)


def test_INV_33_claims_of_another_token_under_a_recorded_jti_are_nothing(world):
    text = world.access_token()
    world.store.usage.flush()
    claims = claims_in(text)
    assert not world.active(forge(world, jti=claims["jti"], roles=["reader"], scope="reader"))
    assert world.active(text)


def test_INV_24_a_row_of_the_version_before_is_judged_by_its_signature(world):
    text = world.access_token()
    world.store.usage.flush()
    with world.store.engine.begin() as connection:
        connection.execute(update(sessions).values(token_hash=None))
    world.clock.at += AFTER
    other = node(world)
    assert other.active(text)
    header, body, signature = text.split(".")
    assert not other.active(f"{header}.{body}.{signature[:-4]}AAAA")
    other.services.close()


def test_a_token_is_active_at_once_where_it_was_issued_and_elsewhere(world):
    other = node(world)
    text = world.access_token()  # nothing is written yet
    assert world.active(text)
    assert other.active(text)
    world.store.usage.flush()
    other.store.usage.flush()
    assert row(world, text).token_hash == token_hash(token_hash_key(world.store.pepper), text)
    world.clock.at += AFTER
    assert world.active(text)
    assert other.active(text)
    other.services.close()


def test_the_issuing_node_may_write_after_one_that_saw_a_use(world):
    other = node(world)
    text = world.access_token()
    assert other.active(text)
    other.store.usage.flush()
    assert row(other, text).token_hash == ""
    world.store.usage.flush()
    other.store.usage.flush()
    assert row(world, text).token_hash
    world.clock.at += AFTER
    assert other.active(text)
    other.services.close()


def test_a_record_that_was_lost_ends_its_token_early(world):
    text = world.access_token()
    world.store.usage._begin()  # as after kill -9: nothing of it was written
    assert world.active(text)
    world.store.usage._begin()
    world.clock.at += AFTER
    assert not world.active(text)


def test_what_is_hashed_is_keyed():
    key = token_hash_key(b"p" * 32)
    assert token_hash(key, "a.b.c") != token_hash(token_hash_key(b"q" * 32), "a.b.c")
    assert len(token_hash(key, "a.b.c")) == 43


def test_claims_that_were_not_made_here_do_not_parse(world):
    assert not world.active(forge(world, extra="x"))
    assert not world.active(forge(world, iss="https://other.example"))


class TestCacheOfParsedRequests:
    def test_busy_entries_outlive_a_scan(self):
        cache = ParsedRequestCache(100)
        for number in range(50):
            cache.put(b"busy%d" % number, number)
        for number in range(10_000):
            cache.put(b"scan%d" % number, number)
            cache.get(b"busy%d" % (number % 50))
        assert all(cache.get(b"busy%d" % number) == number for number in range(50))
        assert len(cache) == 100

    def test_what_nobody_uses_goes_first(self):
        cache = ParsedRequestCache(2)
        cache.put(b"a", 1)
        cache.put(b"b", 2)
        cache.get(b"a")
        cache.put(b"c", 3)
        assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == (1, None, 3)
