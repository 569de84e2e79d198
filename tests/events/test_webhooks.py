"""Webhooks by Standard Webhooks: what is told, signed how, in which order, how often; and by which node."""

import pytest
from sqlalchemy import update

from authserver.actions import credentials, signing_keys, users
from authserver.actions import roles as role_actions
from authserver.actions.events import webhooks
from authserver.actions.events.chain_watch import ChainWatch
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.events.addresses import url_fault
from authserver.rules.events.backoff import WAITS, next_wait
from authserver.rules.events.catalogue import WARNING_DAYS
from authserver.store.engine.connections import writing
from authserver.store.tables import audit
from authserver.store.tokens.gauges import gauges
from tests.support.shell import Shell

DAY = 86400


def regenerate(telling, client=None):
    world, client_id = telling.world, client or telling.client[0]
    return credentials.regenerate(world.accounts, client_id, 0, pepper=world.store.pepper, **world.who).secret


def test_a_change_is_told_with_a_signature_that_another_verifier_accepts(telling):
    _, secret = telling.webhook()
    assert telling.round() == []
    regenerate(telling)
    (came,) = telling.round()
    document = came.verified(secret)
    assert document["type"] == "secret.regenerated"
    told = {"client_id": telling.client[0], "name": "bot", "owner": "ada", "overlap_seconds": 0}
    assert told.items() <= document["data"].items()
    assert "acs_" not in came.body.decode()
    with pytest.raises(Exception, match="signature"):
        came.verified("whsec_" + "A" * 43 + "=")
    assert telling.round() == []


def test_what_is_done_to_roles_keys_and_users_is_told(telling):
    world = telling.world
    telling.webhook("user.role_reduced", "signing_key.rotated", "signing_key.compromised")
    for name in ("spare", "spent"):
        role_actions.create_role(world.accounts, name, "operational", (), **world.who)
    users.create_user(world.accounts, "eve", ["reader", "spare", "spent"], **world.who)
    users.revoke(world.accounts, "eve", "spare", **world.who)
    role_actions.delete_role(world.accounts, "spent", **world.who)
    users.disable(world.accounts, "eve", **world.who)
    context = signing_keys.key_context(
        world.store.accounts, world.store.keys, world.services.key_store, world.store.jwks_fetchers
    )
    kid = next(key.kid for key in world.store.keys.ring() if key.state == "active")
    signing_keys.compromise(context, kid, reason="drill", **world.who)
    came = [each.document for each in telling.round()]
    assert [(each["type"], each["data"]["change"]) for each in came] == [
        ("user.role_reduced", "user.role_revoked"),
        ("user.role_reduced", "role.deleted"),
        ("user.role_reduced", "user.disabled"),
        ("signing_key.compromised", "key.compromised"),
    ]
    assert came[0]["data"]["username"] == "eve"
    assert "peer" not in came[0]["data"]


def test_a_webhook_gets_what_it_asked_for_and_only_while_it_is_enabled(telling):
    world = telling.world
    webhook_id, _ = telling.webhook("signing_key.rotated")
    regenerate(telling)
    assert telling.round() == []
    webhooks.edit(world.accounts, webhook_id, events=["secret.regenerated"], **world.who)
    regenerate(telling)
    assert len(telling.round()) == 1
    webhooks.disable(world.accounts, webhook_id, **world.who)
    regenerate(telling)
    assert telling.round(100) == []
    webhooks.enable(world.accounts, webhook_id, **world.who)
    assert telling.round() == []
    with pytest.raises(Conflict):
        webhooks.enable(world.accounts, webhook_id, **world.who)


def test_both_secrets_sign_while_they_overlap(telling):
    world = telling.world
    webhook_id, old = telling.webhook()
    new = webhooks.rotate(world.accounts, webhook_id, 3600, pepper=world.store.pepper, **world.who).secret
    assert new != old
    regenerate(telling)
    (came,) = telling.round()
    assert len(came.headers["webhook-signature"].split()) == 2
    assert came.verified(old) == came.verified(new)
    regenerate(telling)
    (came,) = telling.round(3600)
    came.verified(new)
    with pytest.raises(Exception, match="signature"):
        came.verified(old)


def test_what_fails_is_tried_again_with_the_same_id_and_given_up_in_the_end(telling):
    world, receiver = telling.world, telling.receiver
    webhook_id, secret = telling.webhook()
    receiver.status = 500
    regenerate(telling)
    (first,) = telling.round()
    assert telling.round(1) == []
    for wait in WAITS:
        (again,) = telling.round(wait + wait // 10 + 1)
        assert (again.id, again.body) == (first.id, first.body)
    assert telling.round(5 * DAY) == []
    delivery, attempts = world.store.webhooks.delivery(webhook_id, first.id)
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("dead", len(WAITS) + 1, 500)
    assert [each.number for each in attempts] == list(range(1, len(WAITS) + 2))
    receiver.status = 200
    assert webhooks.replay_dead(world.accounts, webhook_id, **world.who) == 1
    (came,) = telling.round()
    assert came.id == first.id
    assert came.verified(secret)["type"] == "secret.regenerated"
    assert telling.delivery(webhook_id).state == "delivered"
    with pytest.raises(Conflict):
        webhooks.replay_dead(world.accounts, webhook_id, **world.who)
    webhooks.replay(world.accounts, webhook_id, first.id, **world.who)
    assert [each.id for each in telling.round()] == [first.id]
    with pytest.raises(NotFound):
        webhooks.replay(world.accounts, webhook_id, "evt_none", **world.who)


def test_of_one_object_nothing_overtakes_and_others_do_not_wait(telling):
    world, receiver = telling.world, telling.receiver
    telling.webhook()
    other = world.credential()[0]
    refused = {telling.client[0]}
    receiver.status = lambda came: 503 if came.document["data"]["client_id"] in refused else 204
    for client in (telling.client[0], other, telling.client[0], other):
        regenerate(telling, client)
    came = [each.document["data"]["client_id"] for each in telling.round()]
    assert came == [telling.client[0], other, other]
    assert telling.round() == []
    refused.clear()
    again = telling.round(10)
    assert [each.document["data"]["client_id"] for each in again] == [telling.client[0]] * 2
    assert again[0].id == receiver.received[0].id
    assert again[1].id != again[0].id


def test_a_receiver_may_ask_for_more_time_or_for_nothing_more(telling):
    world, receiver = telling.world, telling.receiver
    webhook_id, _ = telling.webhook()
    receiver.status, receiver.headers = 429, {"Retry-After": "7000"}
    regenerate(telling)
    telling.round()
    assert telling.delivery(webhook_id).next_at == world.clock.at + 7000
    receiver.status, receiver.headers = 410, {}
    telling.round(7000)
    assert world.store.webhooks.find(webhook_id).disabled_at == world.clock.at
    (record,) = world.accounts.audit_newest(1)
    assert (record.event, record.actor, record.target) == ("webhook.disabled", "system", webhook_id)


def test_a_redirect_is_not_followed(telling):
    webhook_id, _ = telling.webhook()
    telling.receiver.status, telling.receiver.headers = 307, {"Location": telling.receiver.url}
    regenerate(telling)
    assert len(telling.round()) == 1
    delivery = telling.delivery(webhook_id)
    assert (delivery.state, delivery.last_status) == ("pending", 307)
    assert "redirect" in delivery.last_error


def test_a_test_event_goes_to_its_webhook_alone(telling):
    world = telling.world
    mine, secret = telling.webhook("audit.chain_broken")
    telling.webhook()
    webhooks.test(world.accounts, mine, **world.who)
    (came,) = telling.round()
    assert came.verified(secret)["data"] == {"webhook_id": mine}


def test_only_the_node_with_the_lease_sends_and_another_takes_over(telling):
    world = telling.world
    telling.webhook()
    regenerate(telling)
    second = telling.node()
    assert len(telling.round()) == 1
    regenerate(telling)
    assert second.once() == 0
    assert len(telling.round()) == 1
    world.clock.at += 61
    regenerate(telling)
    assert second.once() == 1
    regenerate(telling)
    assert telling.round() == []
    assert second.once() == 1
    second.sender.close()


def test_expiry_is_told_30_7_and_1_days_ahead_and_when_it_comes_and_once(telling):
    world = telling.world
    telling.webhook("credential.expiring", "credential.expired")
    telling.round()
    client, short = world.credential(days=60)[0], world.credential(days=7)[0]
    seen = []
    for days in (1, 5, 3, 20, 1, 0, 22, 1, 6, 1):
        seen += telling.round(days * DAY + 60)
    of = {each: [d.document for d in seen if d.document["data"]["client_id"] == each] for each in (client, short)}
    told = [(each["type"], each["data"].get("days")) for each in of[client]]
    assert told == [*(("credential.expiring", days) for days in WARNING_DAYS), ("credential.expired", None)]
    assert of[client][0]["data"]["owner"] == "ada"
    told = [(each["type"], each["data"].get("days")) for each in of[short]]
    assert told == [("credential.expiring", 1), ("credential.expired", None)]


def test_a_secret_that_is_used_from_a_new_network_is_told_once(telling):
    world = telling.world
    telling.webhook("secret.new_network")
    telling.round()

    def use(peer):
        form = {"grant_type": "client_credentials"}
        answer = world.http.post(
            "/oauth/token",
            data=form | {"client_id": telling.client[0], "client_secret": telling.client[1]},
            environ_overrides={"REMOTE_ADDR": peer, "wsgi.url_scheme": "https"},
        )
        assert answer.status_code == 200, answer.text
        world.store.usage.flush()
        return telling.round()

    assert use("203.0.113.7") == []
    assert use("203.0.113.99") == []
    (came,) = use("198.51.100.1")
    assert came.document["data"]["network"] == "198.51.100.0/24"
    assert came.document["data"]["owner"] == "ada"
    assert use("198.51.100.1") == use("203.0.113.7") == []


def test_a_broken_chain_is_told_once(telling):
    world = telling.world
    telling.webhook("audit.chain_broken")
    assert telling.round() == []

    def write(actor):
        with writing(world.store.engine) as connection:
            connection.execute(update(audit).where(audit.c.seq == 2).values(actor=actor))

    write("nobody")
    try:
        (came,) = telling.round(20)
        assert came.document["type"] == "audit.chain_broken"
        assert came.document["data"]["record"] == 2
        assert telling.round(20) == []
    finally:
        write("test")


def counted(world):
    found = gauges(world.store.engine, world.store.sessions.backlog(world.clock.at, DAY), world.clock.at)
    return found["oauth_audit_chain_broken"][()]


def test_a_broken_chain_is_noticed_where_nobody_is_told_of_events_by_one_node_and_told_when_somebody_is(telling):
    world = telling.world
    other = telling.node()
    telling.round(60)
    assert world.store.outbox.state().chain.walked_at is not None

    def write(actor):
        with writing(world.store.engine) as connection:
            connection.execute(update(audit).where(audit.c.seq == 3).values(actor=actor))

    write("nobody")
    try:
        world.clock.at += 60
        telling.rounds.once()
        assert other.once() == 0
        state = world.store.outbox.state()
        assert (state.chain.fault, state.holder) == ("record 3: was altered", telling.rounds.holder)
        assert counted(world) == 1
        said = Shell(world.app)("doctor", "--json")
        assert said.code == 1
        found = {each["check"]: each for each in said.json["checks"]}
        assert "record 3" in found["audit watch"]["message"]
        telling.webhook("audit.chain_broken")
        (came,) = telling.round(20)
        assert came.document["data"]["record"] == 3
    finally:
        write("test")
    telling.round(20)
    assert world.store.outbox.state().chain.fault == ""
    assert counted(world) == 0


def test_what_the_watch_costs_in_an_hour_does_not_grow_with_the_chain(telling):
    store, chain = telling.world.store, telling.rounds._chain
    walked, walk = [], chain.walk
    chain.walk = lambda now, **more: walked.append(now) or walk(now, **more)
    for _ in range(180):
        telling.round(20)
    assert len(walked) == 60
    read = []

    class Counting:
        def audit_records(self, after=0, *, limit):
            for each in store.accounts.audit_records(after, limit=limit):
                read.append(each.seq)
                yield each

    records = store.audit_reads.chain_status().records
    watch = ChainWatch(Counting(), store.audit_reads, store.outbox)
    for number in range(1, records // 5 + 2):
        assert watch.walk(telling.world.clock.at, 5) == ""
        assert len(read) <= 5 * number
    assert read == list(range(1, records + 1))


def test_without_a_webhook_nothing_is_written_but_the_cursor_and_no_past_is_told_later(telling):
    world = telling.world
    regenerate(telling)
    telling.round(60)
    assert world.store.outbox.state().behind == 0
    telling.webhook()
    assert telling.round() == []


def test_old_events_are_forgotten_and_waiting_ones_are_not(telling):
    world, receiver = telling.world, telling.receiver
    webhook_id, _ = telling.webhook()
    regenerate(telling)
    telling.round()
    assert world.store.outbox.forget(world.clock.at - 60, 100) >= 0
    receiver.status = 500
    regenerate(telling)
    telling.round()
    assert len(world.store.webhooks.deliveries(webhook_id, 10)) == 2
    assert world.store.outbox.forget(world.clock.at, 100) == 1
    assert [each.state for each in world.store.webhooks.deliveries(webhook_id, 10)] == ["pending"]
    assert world.store.webhooks.counts()[webhook_id].pending == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "https://", "https://user:pass@example.com/", "https://example.com/#x", "example.com",
        "https://exa mple.com/", "https://example.com:0/", "https://example.com\\@10.0.0.1/", "https://" + "a" * 1000,
        "https://example.com/\n", "https://[::1/", "https://example.com:x/", "",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_is_refused(url):
    assert url_fault(url)


def test_a_webhook_is_not_made_with_what_cannot_be(telling):
    with pytest.raises(Invalid):
        telling.webhook(url="ftp://example.com")
    with pytest.raises(Invalid, match=r"secret\.regenerated"):
        telling.webhook("secret.stolen")


def test_the_waits_grow_and_end():
    waits = [next_wait(number, 0) for number in range(1, len(WAITS) + 2)]
    assert waits == [*WAITS, None]
    assert next_wait(1, 0.99) <= WAITS[0] * 1.1
    assert next_wait(1, 0, 600) == 600
    assert next_wait(1, 0, 10**9) == 86400
