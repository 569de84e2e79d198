"""For how long a resource server may trust an answer of introspection: ``lease_seconds`` and ``Cache-Control``."""

import pytest

from authserver.actions import credentials, general_settings, resource_servers
from authserver.rules.facts import Standing, Token
from authserver.rules.lease import lease_seconds
from tests.support.wsgi_client import BACKENDS, opened, parts

NOW = 1_800_000_000
STANDING = Standing(1800, 43200, 0, 0, 1, True, False, 1, False, False, 1, NOW + 10**6, None)
TOKEN = Token("j", NOW - 60, NOW + 3600, NOW, 1, 1, 1)


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


@pytest.mark.parametrize(
    ("token", "standing", "staleness", "lease"),
    [
        (TOKEN, STANDING, 0, 0),
        (TOKEN, STANDING, 30, 30),
        (TOKEN, STANDING, 3600, 900),
        (TOKEN._replace(expires_at=NOW + 7), STANDING, 30, 6),
        (TOKEN, STANDING._replace(max_lifetime=65), 30, 4),
        (TOKEN, STANDING._replace(credential_expires_at=NOW + 4), 30, 3),
        (TOKEN, STANDING._replace(secret_ends_at=NOW + 3), 30, 2),
        (TOKEN, STANDING._replace(secret_ends_at=NOW + 1), 30, 0),
        (TOKEN, STANDING._replace(secret_ends_at=NOW - 3), 30, 0),
    ],
    ids=["none", "staleness", "idle", "exp", "longest life", "credential", "secret", "within the second", "over"],
)
def test_a_lease_ends_with_the_first_of_all_that_can_end_the_token(token, standing, staleness, lease):
    assert lease_seconds(token, NOW, standing, staleness) == lease


def test_an_answer_is_not_to_be_kept_unless_the_resource_server_may(world):
    token = world.access_token()
    answer = world.introspect(token)
    assert answer.json["lease_seconds"] == 0
    assert answer.headers["Cache-Control"] == "private, max-age=0, no-store"


def test_an_active_answer_says_for_how_long_it_may_be_trusted(world):
    api = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    resource_servers.bound_staleness(world.accounts, api.name, 20, **world.who)
    token = world.access_token()
    answer = world.introspect(token)
    assert answer.json["lease_seconds"] == 20
    assert answer.headers["Cache-Control"] == "private, max-age=20"
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1", **world.who)
    world.clock.at += 50
    assert world.introspect(token).json["lease_seconds"] == 20
    credentials.disable(world.accounts, world.client[0], **world.who)
    dead = world.introspect(token)
    assert dead.get_data() == b'{"active":false}'
    assert dead.headers["Cache-Control"] == "no-store"


def test_INV_06_who_asks_at_the_end_of_each_lease_idles_out_no_token(world):
    """Also where S is longer than the idle timeout."""
    resource_servers.bound_staleness(world.accounts, "api", 3600, **world.who)
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1", **world.who)
    token = world.access_token()
    for _ in range(10):
        answer = world.introspect(token).json
        assert answer["active"] is True
        assert 0 < answer["lease_seconds"] < answer["idle_expires_at"] - world.clock.at
        world.clock.at += answer["lease_seconds"]


def test_INV_07_a_lease_is_over_before_the_token_is(world):
    """Counted from any moment of the second in which the answer was given."""
    resource_servers.bound_staleness(world.accounts, "api", 3600, **world.who)
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1440", **world.who)
    token = world.access_token()
    exp = parts(token)[1]["exp"]
    for left in (3, 2, 1):
        world.clock.at = exp - left
        assert world.introspect(token).json["lease_seconds"] == left - 1
    world.clock.at = exp
    assert not world.active(token)
