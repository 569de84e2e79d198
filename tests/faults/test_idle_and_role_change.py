"""A token is issued, checked, and dies when it must."""

import time

import pytest
from werkzeug.test import Client

from app import create_app
from authserver.actions import general_settings
from authserver.actions import users as user_actions
from authserver.config import Config
from tests.conftest import FixedClock, World


def test_a_token_is_issued_and_active(world):
    assert world.active(world.access_token())


def test_a_role_change_kills_it(world):
    token = world.access_token()
    user_actions.revoke(world.accounts, "ada", "writer", **world.who)
    answer = world.introspect(token)
    assert answer.data == b'{"active":false}'
    assert world.token().json["scope"] == "reader"


def test_unused_for_the_idle_timeout_it_is_dead_for_good(world):
    token = world.access_token()
    world.clock.at += 29 * 60
    assert world.active(token)
    world.store.usage.flush()
    world.clock.at += 29 * 60
    assert world.active(token)
    world.clock.at += 30 * 60
    assert not world.active(token)
    world.clock.at -= 20 * 60
    assert not world.active(token)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("idle_timeout_minutes", "30", "1440"), ("max_token_lifetime_minutes", "60", "1440")],
)
def test_inv_05_a_longer_life_for_all_revives_nobody(world, name, before, after):
    """Who died unasked is as dead as who was told; who lived lives on by the new setting."""
    long = {"idle_timeout_minutes": "180", "max_token_lifetime_minutes": "1000"}
    for each, value in long.items():
        general_settings.set_general(world.accounts, each, value, **world.who)
    dead = world.access_token()
    world.clock.at += 30 * 60
    living = world.access_token()
    general_settings.set_general(world.accounts, name, before, **world.who)
    world.clock.at += int(before) * 60 - 1
    general_settings.set_general(world.accounts, name, after, **world.who)
    world.clock.at += 5 * 60
    assert world.active(living)
    assert not world.active(dead)


def test_T_171_the_same_answers_in_every_time_zone(world, monkeypatch):
    """Instants are whole seconds of UTC, wherever the server stands."""
    answers = []
    try:
        for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Europe/Dublin"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            token = world.access_token()
            document = world.introspect(token).json
            answers.append([document[each] for each in ("active", "iat", "exp", "idle_expires_at")])
            world.clock.at += 30 * 60
            assert not world.active(token)
            world.clock.at -= 30 * 60
    finally:
        monkeypatch.undo()
        time.tzset()
    assert answers == [answers[0]] * 5


def test_T_185_a_fresh_server_knows_nobody(database_url):
    """No account, no secret and no API of ours is there before somebody makes one."""
    services = create_app(
        Config(database_url=database_url, master_key="A" * 43, issuer="http://127.0.0.1:8000"), background=False
    ).extensions["services"]
    services.migrate()
    accounts = services.store().accounts
    assert (accounts.users(), accounts.roles(), accounts.credentials(), accounts.resource_servers()) == ((), (), (), ())
    services.close()


def test_T_167_nodes_two_seconds_apart_agree(database_url):
    """INV-04, INV-05: issued by the fast node and judged by the slow one, and dead for all once dead for one."""
    fast = World(database_url)
    nodes = [fast]
    for skew in (0, -2):
        app = create_app(
            Config(database_url=database_url, master_key="A" * 43, issuer="http://127.0.0.1:8000"),
            clock=FixedClock(fast.clock.at - 2 + skew),
            background=False,
        )
        nodes.append(Node(app.extensions["services"], fast))
    token, other = fast.access_token(), fast.access_token()
    assert [node.active(token) for node in nodes] == [True] * 3
    fast.store.usage.flush()
    for node in nodes:
        node.clock.at += 30 * 60 + 2
    assert [node.active(other) for node in nodes] == [False] * 3
    fast.services.close()
    for node in nodes[1:]:
        node.services.close()


class Node(World):
    """Another server over the database of a world."""

    def __init__(self, services, world):
        self.services, self.clock, self.api = services, services._system_clock, world.api
        self.http = Client(services.wsgi())
