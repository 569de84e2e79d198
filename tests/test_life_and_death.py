"""A token is issued, checked, and dies when it must."""

from authserver.actions import people


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
