"""Old secrets: what shows that nobody needs one any more, and the policy that ends it then."""

import json

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions.events.old_secrets import end_silent
from authserver.rules.events.old_secret import OldSecret
from authserver.rules.lifetime import DAY
from tests.support.api_client import ApiClient

HOUR = 3600


@pytest.mark.parametrize(
    ("new_used_at", "used_at", "silent_since"),
    [(None, None, None), (None, 50, None), (100, None, 100), (100, 50, 100), (100, 150, 150)],
)
def test_silence_begins_with_the_last_use_once_the_successor_is_used(new_used_at, used_at, silent_since):
    old = OldSecret("c", "sec_1", new_used_at, used_at)
    assert old.silent_since == silent_since
    if silent_since is None:
        assert not old.is_safe_to_remove(10**9)
    else:
        assert not old.is_safe_to_remove(silent_since + DAY - 1)
        assert old.is_safe_to_remove(silent_since + DAY)


class Rotated:
    """A credential with an old secret of 7 days and a new one; its owner's view by the API."""

    def __init__(self, world):
        self.world = world
        self.client_id, self.old = world.credential()
        made = credentials.regenerate(world.accounts, self.client_id, 7 * DAY, pepper=world.store.pepper, **world.who)
        self.new = made.secret

    def token(self, secret):
        return self.world.access_token((self.client_id, secret))

    def later(self, seconds):
        self.world.store.usage.flush()
        self.world.clock.at += seconds

    def ended(self):
        return end_silent(self.world.accounts, self.world.store.old_secrets, self.world.clock.at)

    def shown(self):
        owner = ApiClient(self.world, self.world.credential("ada", ["reader", "writer", "builder"]))
        items = owner.read(f"/credentials/{self.client_id}/secrets")["items"]
        return sorted(items, key=lambda each: each["ends_at"] is not None)

    def works(self, secret):
        return self.world.token((self.client_id, secret)).status_code == 200


@pytest.fixture
def rotated(world):
    general_settings.set_general(world.accounts, "old_secret_silent_hours", "2", **world.who)
    made = Rotated(world)
    yield made
    world.clock.at += 10 * DAY
    credentials.delete(world.accounts, made.client_id, **world.who)
    if world.accounts.general().old_secret_silent_hours:
        general_settings.set_general(world.accounts, "old_secret_silent_hours", "0", **world.who)


def test_an_old_secret_lives_while_its_successor_was_not_used(rotated):
    rotated.later(3 * DAY)
    assert rotated.ended() == 0
    assert [(each["silent_since"], each["safe_to_remove"]) for each in rotated.shown()] == [(None, False)] * 2


def test_it_ends_when_it_was_silent_for_as_long_as_the_setting_says_and_not_before(rotated):
    rotated.token(rotated.new)
    rotated.later(2 * HOUR - 1)
    assert rotated.ended() == 0
    rotated.later(1)
    assert rotated.ended() == 1
    assert rotated.ended() == 0
    assert not rotated.works(rotated.old)
    assert rotated.works(rotated.new)
    (record,) = [each for each in rotated.world.accounts.audit_newest(9) if each.event == "credential.old_secret_moved"]
    detail = json.loads(record.detail)
    assert (record.actor, record.target, detail["reason"]) == ("system", rotated.client_id, "silent")
    assert detail["after"] == record.at < detail["before"]


def test_a_use_of_a_token_that_it_obtained_is_a_use_of_it(rotated):
    token = rotated.token(rotated.old)
    rotated.token(rotated.new)
    for _ in range(12):
        rotated.later(20 * 60)
        assert rotated.world.active(token)
        assert rotated.ended() == 0
    rotated.later(2 * HOUR)
    assert rotated.ended() == 1


def test_what_is_safe_to_remove_is_shown_with_since_when(rotated):
    general_settings.set_general(rotated.world.accounts, "old_secret_silent_hours", "0", **rotated.world.who)
    rotated.token(rotated.old)
    rotated.later(60)
    rotated.token(rotated.new)
    rotated.later(DAY)
    assert rotated.ended() == 0  # the policy is off
    new, old = rotated.shown()
    assert (new["silent_since"], new["safe_to_remove"]) == (None, False)
    assert (old["silent_since"] is None, old["safe_to_remove"]) == (False, True)
    rotated.token(rotated.old)
    rotated.later(1)
    assert [each["safe_to_remove"] for each in rotated.shown()] == [False, False]


def test_of_many_nodes_one_ends_it(rotated):
    rotated.token(rotated.new)
    rotated.later(3 * HOUR)
    reads = rotated.world.store.old_secrets

    class AsBefore:
        found = reads.silent(rotated.world.clock.at - 2 * HOUR, rotated.world.clock.at, 10)

        def silent(self, *_):
            return self.found

    assert rotated.ended() == 1
    assert end_silent(rotated.world.accounts, AsBefore(), rotated.world.clock.at) == 0


def test_counts_of_uses_are_kept_as_long_as_the_setting_says(world):
    client = world.credential()
    assert world.active(world.access_token(client))
    world.store.usage.flush()

    def uses():
        return sum(each.uses for each in world.store.credential_reads.usage(client[0], 0).routes)

    assert uses() == 1
    world.store.sessions.sweep(world.clock.at + 29 * DAY, 365 * DAY, usage_days=30)
    assert uses() == 1
    world.store.sessions.sweep(world.clock.at + 32 * DAY, 365 * DAY, usage_days=30)
    assert uses() == 0
