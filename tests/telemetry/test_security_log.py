"""Refusals that reach the audit (PRODUCT.md §2.14)."""

import json

import pytest

from authserver.actions.security_log import PER_MINUTE, SecurityLog
from authserver.audit import Event
from authserver.instrumentation import Instrumentation


@pytest.fixture
def security_log(world):
    security_log = SecurityLog(world.accounts, lambda: world.clock.at)
    yield security_log
    security_log.close()


def refused(world):
    return [record for record in world.accounts.audit_records() if record.event.endswith(".refused")]


def test_the_first_of_each_kind_per_caller_and_minute(world, security_log):
    def note(endpoint="token", reason="wrong_secret", client="", peer="192.0.2.1", minute=1):
        return security_log.record(endpoint, reason, client=client, peer=peer, minute=minute)

    assert note()
    assert not note()
    assert note(endpoint="revocation")
    assert note(reason="secret_ended")
    assert note(peer="192.0.2.2")
    assert note(client=world.client[0])
    assert not note(client=world.client[0], peer="192.0.2.9"), "one client is one caller, wherever it calls from"
    assert note(minute=2)
    security_log.close()
    records = refused(world)
    assert len(records) == 6
    assert (records[0].event, records[0].actor, records[0].target) == ("token.refused", "peer:192.0.2.1", "-")
    assert json.loads(records[0].detail) == {"reason": "wrong_secret"}
    assert world.accounts.audit_verify().first_bad is None


def test_a_flood_does_not_reach_the_audit(world, security_log):
    peers = [f"10.{number >> 8 & 255}.{number & 255}.1" for number in range(10_000)]
    assert (
        sum(security_log.record("token", "wrong_secret", client="", peer=peer, minute=1) for peer in peers)
        == PER_MINUTE
    )
    assert sum(security_log.record("token", "wrong_secret", client="", peer=peer, minute=2) for peer in peers[:9]) == 9
    security_log.close()
    assert len(refused(world)) == PER_MINUTE + 9


def test_made_up_client_ids_are_one_caller(world, security_log):
    for reason in ("unknown_client", "malformed_secret", "malformed_client_id"):
        first, *others = [
            security_log.record("token", reason, client=f"id-{number}", peer="192.0.2.1", minute=1)
            for number in range(100)
        ]
        assert first
        assert not any(others)


def test_noting_waits_for_no_database(world, security_log):
    with world.accounts.change(Event("test.held", "test", "lock"), world.clock.at):
        assert security_log.record("token", "wrong_secret", client="", peer="192.0.2.1", minute=1)
        assert refused(world) == []
    security_log.close()
    assert len(refused(world)) == 1


def test_refusals_of_all_doors_reach_it(world):
    observer: Instrumentation = world.http.application._observe.__self__
    wrong = world.api[1].replace("acv", "acs")
    world.token((world.client[0], wrong))
    world.token(("0b7c2a52-5d0e-4f0a-9f38-2b1f3f3c9a10", world.client[1]))
    world.token(scope="administrator")
    world.token(resource="https://other.example")
    world.introspect("x", world.client)
    world.post("/oauth/revoke", {"token": "x"}, world.api)
    observer.close()
    records = refused(world)
    assert {record.event for record in records} == {"token.refused", "introspection.refused", "revocation.refused"}
    assert len(records) == 6
    text = "".join(record.detail + record.target + record.actor for record in records)
    assert wrong not in text
    assert world.client[1] not in text
