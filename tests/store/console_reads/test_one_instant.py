"""A page reads one instant over one connection."""

import pytest
from sqlalchemy import event

from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.ports.errors import Invalid, Unavailable
from authserver.rules.credential_status import Status
from tests.store.console_reads.support import make, names
from tests.support.stores import NOW


def test_a_page_sees_one_instant_until_it_writes(database, store):
    other = database.open()
    with store.shared_snapshot():
        assert names(store.credential_reads.page(CredentialQuery(), NOW)) == []
        make(other, name="meanwhile")
        assert names(store.credential_reads.page(CredentialQuery(), NOW)) == []
        assert store.credential_reads.counts(NOW)[Status.ACTIVE] == 0
        make(store, name="own")
        assert sorted(names(store.credential_reads.page(CredentialQuery(), NOW))) == ["meanwhile", "own"]
    assert store.credential_reads.counts(NOW)[Status.ACTIVE] == 2


def test_a_page_holds_one_connection_however_much_it_reads_and_writes(store):
    pool, begun = store.engine.pool, []
    event.listen(store.engine, "checkout", lambda *_: begun.append(pool.checkedout()))
    with store.shared_snapshot():
        store.accounts.general()
        store.accounts.users()
        make(store)
    assert max(begun) == 1
    assert len(begun) == 2
    assert pool.checkedout() == 0


def test_a_statement_that_fails_costs_a_page_no_more_than_its_answer(store):
    with store.shared_snapshot():
        with pytest.raises((Invalid, Unavailable)):
            store.credential_reads.refusals("c" * 64, 2**70)
        assert store.accounts.user("ada").username == "ada"
    assert store.engine.pool.checkedout() == 0
