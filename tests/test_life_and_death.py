"""A token is issued, checked, and dies when it must."""

import pytest

from authserver.actions import administer, people


def test_a_token_is_issued_and_active(world):
    assert world.active(world.access_token())


def test_a_role_change_kills_it(world):
    token = world.access_token()
    people.revoke(world.accounts, "ada", "writer", **world.who)
    answer = world.introspect(token)
    assert answer.data == b'{"active":false}'
    assert world.token().json["scope"] == "reader"


def test_unused_for_the_idle_timeout_it_is_dead_for_good(world):
    token = world.access_token()
    world.clock.at += 29 * 60
    assert world.active(token)
    world.store.activity.flush()
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
        administer.set_general(world.accounts, each, value, **world.who)
    dead = world.access_token()
    world.clock.at += 30 * 60
    living = world.access_token()
    administer.set_general(world.accounts, name, before, **world.who)
    world.clock.at += int(before) * 60 - 1
    administer.set_general(world.accounts, name, after, **world.who)
    world.clock.at += 5 * 60
    assert world.active(living)
    assert not world.active(dead)
