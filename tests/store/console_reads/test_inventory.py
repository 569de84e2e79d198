"""The inventory of all credentials."""

from authserver.actions import credentials
from authserver.actions import users as user_actions
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.rules.credential_status import Status
from tests.store.console_reads.support import WHO, issue, make, names
from tests.support.stores import DAY, NOW


def test_the_inventory_finds_the_old_the_unused_and_those_whose_owner_left(store):
    make(store, "ada", "old", 300, now=NOW - 181 * DAY)
    make(store, "ada", "new")
    used = make(store, "ada", "used", 300, now=NOW - 100 * DAY)
    stale = make(store, "ada", "stale", 300, now=NOW - 100 * DAY)
    make(store, "bob", "left", roles=["reader"])
    for each, ago in ((used, 44), (stale, 45)):
        issue(store, each.client_id, NOW - ago * DAY)
    store.usage.flush()
    user_actions.disable(store.accounts, "bob", **WHO)

    def found(**query):
        query = CredentialQuery(order="name", descending=False, **query)
        assert sorted(row.name for row in store.credential_reads.export(query, NOW)) == names(
            store.credential_reads.page(query, NOW)
        )
        return names(store.credential_reads.page(query, NOW))

    assert found() == ["left", "new", "old", "stale", "used"]
    assert found(never_used=True) == ["left", "new", "old"]
    assert found(older_than_days=180) == ["old"]
    assert found(unused_days=45) == ["old", "stale"]
    assert found(owner_disabled=True) == ["left"]
    assert found(never_used=True, status=Status.ACTIVE) == ["new", "old"]
    newest = store.credential_reads.page(CredentialQuery(never_used=True, status=Status.ACTIVE, size=1), NOW)
    assert (names(newest), newest.total) == (["new"], 2)


def test_an_export_is_read_in_parts_and_holds_no_transaction(store, monkeypatch):
    for size in ("_FIRST_EXPORT_BATCH", "_EXPORT_BATCH"):
        monkeypatch.setattr(f"authserver.store.credentials.reads.{size}", 2)
    made = sorted(make(store, name=f"=cmd{number}").client_id for number in range(5))
    rows = store.credential_reads.export(CredentialQuery(), NOW)
    first = next(rows)
    credentials.delete(store.accounts, made[4], **WHO)
    assert [first.client_id, *(row.client_id for row in rows)] == made[:4]
