"""A form sent twice has one effect; the limit of live credentials."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from authserver.actions import credentials, general_settings
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.ports.errors import AlreadyDone, Conflict, Invalid
from tests.store.console_reads.support import PEPPER, WHO, make, names
from tests.support.stores import DAY, NOW


def test_a_form_that_is_sent_twice_makes_one_credential(store):
    made = make(store, name="first", form_key="k" * 32)
    records = store.audit_reads.chain_status().records
    with pytest.raises(AlreadyDone) as told:
        make(store, name="second", form_key="k" * 32, now=NOW + 900)
    assert told.value.subject == made.client_id
    assert "acs_" not in str(told.value)
    assert names(store.credential_reads.page(CredentialQuery(), NOW)) == ["first"]
    assert store.audit_reads.chain_status().records == records
    make(store, "bob", "bobs own form", roles=["reader"], form_key="k" * 32)
    for impossible in ("", "k" * 256):
        with pytest.raises(Invalid):
            make(store, form_key=impossible)


def test_a_form_with_a_fault_may_be_mended_and_sent_again(store):
    with pytest.raises(Invalid):
        make(store, roles=["unknown"], form_key="key")
    assert make(store, form_key="key").name == "bot"


def test_a_secret_is_regenerated_once_by_one_form(store):
    made = make(store)

    def regenerate(key):
        return credentials.regenerate(store.accounts, made.client_id, 3600, pepper=PEPPER, form_key=key, **WHO)

    regenerate("one")
    secrets = store.credential_reads.secrets(made.client_id)
    with pytest.raises(AlreadyDone) as told:
        regenerate("one")
    assert told.value.subject == made.client_id
    assert store.credential_reads.secrets(made.client_id) == secrets
    regenerate("two")
    assert len(store.credential_reads.secrets(made.client_id)) == 3


def test_a_form_sent_at_the_same_moment_to_two_nodes_makes_one_credential(database, store):
    nodes = [store, database.open()]

    def send(number):
        try:
            return make(nodes[number % 2], form_key="same").client_id
        except AlreadyDone as told:
            return told.subject

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(send, range(8)))) == 1
    assert store.credential_reads.page(CredentialQuery(), NOW).total == 1


def test_the_limit_of_live_credentials_holds_under_parallel_creates(database, store):
    general_settings.set_general(store.accounts, "max_credentials_per_user", "3", **WHO)
    nodes = [store, database.open()]

    def create(number):
        try:
            return make(nodes[number % 2])
        except Conflict as refused:
            return str(refused)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(create, range(8)))
    refused = [each for each in results if isinstance(each, str)]
    assert len(refused) == 5
    assert set(refused) == {
        "ada has 3 live credentials, which is the most allowed; delete one that is not needed first"
    }
    make(store, "bob", roles=["reader"])
    first = next(each for each in results if not isinstance(each, str))
    credentials.delete(store.accounts, first.client_id, **WHO)
    make(store)


def test_only_live_credentials_count_and_an_expired_one_comes_back_only_where_there_is_room(store):
    general_settings.set_general(store.accounts, "max_credentials_per_user", "1", **WHO)
    old = make(store, days=1)
    later = NOW + 2 * DAY
    new = make(store, now=later)
    with pytest.raises(Conflict, match="1 live credentials"):
        credentials.edit(store.accounts, old.client_id, expires_at=later + DAY, actor="test", now=later)
    credentials.delete(store.accounts, new.client_id, actor="test", now=later)
    credentials.edit(store.accounts, old.client_id, expires_at=later + DAY, actor="test", now=later)
