"""Changes on conditions: a request that is sent again takes effect once, and a precondition holds inside its change."""

import json
import threading

import pytest

from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.ports.errors import AlreadyDone, Conflict, KeyReused
from authserver.ports.transaction import ChangeRequest, IdempotencyKey
from tests.support.stores import NOW, fresh

WHO = {"actor": "test", "now": NOW}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    database = fresh(request.param, tmp_path)
    yield database.open()
    database.close()


def keyed(store, key="k", fingerprint="f", scope="s"):
    return store.requested_by(ChangeRequest(idempotency_key=IdempotencyKey(scope, key, fingerprint))).accounts


def role(accounts, name="r"):
    return role_actions.create_role(accounts, name, "operational", (), **WHO)


def test_the_same_request_again_changes_nothing_and_names_what_it_made(store):
    made = role(keyed(store))
    with pytest.raises(AlreadyDone) as again:
        role(keyed(store), "another name, the same fingerprint".replace(" ", "-").replace(",", ""))
    assert again.value.subject == made.id
    assert [each.name for each in store.accounts.roles()] == ["r"]
    assert len(list(store.accounts.audit_records())) == 1


def test_a_key_with_another_request_is_refused_and_another_scope_is_another_key(store):
    role(keyed(store))
    with pytest.raises(KeyReused):
        role(keyed(store, fingerprint="g"), "q")
    role(keyed(store, scope="t"), "q")


def test_a_request_that_was_refused_may_be_mended_under_its_key(store):
    role(store.accounts)
    with pytest.raises(Conflict, match="already"):
        role(keyed(store))
    role(keyed(store, fingerprint="mended"), "q")


def test_of_many_at_once_one_takes_effect(store):
    outcomes = []
    together = threading.Barrier(8)

    def send():
        together.wait(30)
        try:
            outcomes.append(role(keyed(store)).id)
        except AlreadyDone as done:
            outcomes.append(done.subject)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(outcomes) == 8
    assert len(set(outcomes)) == 1
    assert len(store.accounts.roles()) == 1


def test_a_precondition_sees_the_state_before_the_change_and_prevents_it(store):
    role(store.accounts)
    seen = []

    def refuse(tx):
        seen.append(tx.role("r").name)
        raise Conflict("no")

    guarded = store.requested_by(ChangeRequest(precondition=refuse)).accounts
    with pytest.raises(Conflict, match="no"):
        role_actions.delete_role(guarded, "r", **WHO)
    assert seen == ["r"]
    assert [each.name for each in store.accounts.roles()] == ["r"]


def test_keys_are_forgotten_with_the_old_usage(store):
    role(keyed(store))
    assert store.sessions.sweep(NOW + 86400 * 300, 0) == 0
    assert store.sessions.sweep(NOW + 86400 * 500, 0) >= 1
    role(keyed(store), "q")


def test_a_change_is_recorded_with_the_credential_that_asked_for_it(store):
    role(store.requested_by(ChangeRequest("192.0.2.1", "some-client")).accounts)
    (record,) = store.accounts.audit_records()
    detail = json.loads(record.detail)
    assert (detail["peer"], detail["client"]) == ("192.0.2.1", "some-client")


def test_the_management_api_is_registered_once_and_has_no_secret_to_renew(store):
    def register(audience="https://issuer.example/api/v1"):
        return resource_server_actions.register_management_api(store.accounts, audience, pepper=store.pepper, **WHO)

    assert register() == register()
    with pytest.raises(Conflict, match=r"registered for https://issuer\.example/api/v1"):
        register("https://elsewhere.example/api")
    with pytest.raises(Conflict, match="no secret"):
        resource_server_actions.regenerate_resource_server(store.accounts, "Management API", pepper=store.pepper, **WHO)
    assert len(store.accounts.resource_servers()) == 1


def test_the_one_registered_api_stays_the_audience_of_requests_that_name_none(world):
    resource_server_actions.register_management_api(
        world.accounts, "http://127.0.0.1:8000/api/v1", pepper=world.store.pepper, **world.who
    )
    assert world.token().status_code == 200
    assert world.token(resource="http://127.0.0.1:8000/api/v1").status_code == 200
