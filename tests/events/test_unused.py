"""What nobody used for as long as the setting says is told ahead, then disabled, and can be enabled again."""

import pytest

from authserver.actions import credentials, general_settings
from authserver.rules.permission import SECURITY
from tests.support.api_client import problem
from tests.support.shell import Shell

DAY = 86400


@pytest.fixture
def policy(telling):
    """Sets the policy; off again afterwards."""
    world = telling.world

    def choose(days):
        general_settings.set_general(world.accounts, "unused_disable_days", str(days), **world.who)

    yield choose
    if world.accounts.general().unused_disable_days:
        choose(0)


def told(came, client):
    return [
        (each.document["data"].get("days"), each.document["data"].get("reason"))
        for each in came
        if each.document["data"]["client_id"] == client
    ]


def test_it_is_told_30_7_and_1_days_ahead_then_disabled_and_an_enabling_begins_anew(telling, policy):
    world = telling.world
    telling.webhook("credential.unused")
    telling.round()
    client = world.credential(days=300)
    token = world.access_token(client)
    world.store.usage.flush()
    policy(60)
    came = []
    for days in (1, 29, 23, 6):
        came += telling.round(days * DAY + 61)
    assert told(came, client[0]) == [(30, None), (7, None), (1, None)]
    assert not world.active(token)
    assert world.token(client).status_code == 200
    world.store.usage.flush()
    assert told(telling.round(DAY), client[0]) == []
    came = [each for days in (29, 23, 6, 1, 1) for each in telling.round(days * DAY)]
    assert told(came, client[0]) == [(30, None), (7, None), (1, None), (None, "unused")]
    assert world.token(client).status_code == 401
    record = next(each for each in reversed(world.accounts.audit_newest(50)) if each.target == client[0])
    assert (record.event, record.actor) == ("credential.disabled", "system")
    credentials.enable(world.accounts, client[0], **world.who)
    telling.round(DAY)
    assert world.token(client).status_code == 200


def test_a_policy_disables_nothing_without_a_notice(telling, policy):
    world = telling.world
    telling.webhook("credential.unused")
    client = world.credential(days=300)
    telling.round(100 * DAY)
    policy(30)
    assert told(telling.round(61), client[0]) == [(30, None)] or told(telling.receiver.received, client[0]) == []
    telling.round(28 * DAY)
    assert world.store.unused.disables_at(client[0]) > world.clock.at
    assert world.token(client).status_code == 200


def test_off_means_that_nothing_is_disabled(telling):
    world = telling.world
    client = world.credential(days=300)
    telling.webhook("credential.unused")
    assert telling.round(200 * DAY) == []
    assert world.token(client).status_code == 200


def test_what_a_policy_would_disable_is_shown_before_it_is_chosen(telling):
    world, shell = telling.world, Shell(telling.world.app)
    client = world.credential(days=300)
    listed = shell.json("credentials", "unused", "--days", "45", "--within", "60d")
    mine = next(each for each in listed if each["client_id"] == client[0])
    assert mine["last_used_at"] is None
    assert client[0] not in shell("credentials", "unused", "--days", "45", "--within", "7d").out
    assert shell.json("credentials", "unused") == []
    root = world.api_client("root", ["reader", "builder", SECURITY])
    found = root.read("/inventory/unused", days=45, within_days=60)["items"]
    assert client[0] in {each["client_id"] for each in found}
    assert root.get("/inventory/unused", days=-1).status_code == 400
    problem(world.api_client("root", ["reader", "builder"]).get("/inventory/unused"), 403, "insufficient_scope")
