"""The audit trail and the time line of a credential."""

import random

import pytest

from authserver.actions import credentials
from authserver.actions import roles as role_actions
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.audit import Event
from authserver.ports.console_reads.audit import AuditPlace, AuditQuery
from authserver.ports.errors import NotFound
from authserver.rules.facts import Reason
from authserver.store.audit import reads as audit_reads_file
from tests.store.console_reads.support import look, walked
from tests.support.stores import NOW, Statements


def note(store, name, target="t", actor="test", at=NOW):
    with store.accounts.change(Event(name, actor, target), at):
        pass


def test_the_audit_is_filtered_walked_newest_first_and_exported_oldest_first(store, monkeypatch):
    monkeypatch.setattr(audit_reads_file, "_EXPORT_BATCH", 7)
    dice = random.Random(3)
    for number in range(60):
        note(
            store,
            dice.choice(["a.made", "a.gone", "b.made"]),
            dice.choice(["cat", "Category", "dog"]),
            dice.choice(["ada", "bob"]),
            NOW + number // 4 - (10 if number == 30 else 0),
        )
    every = sorted(store.accounts.audit_records(), key=lambda record: (-record.at, -record.seq))
    queries = {
        AuditQuery(): lambda _: True,
        AuditQuery(actor="ada"): lambda r: r.actor == "ada",
        AuditQuery(events=("a.made", "b.made")): lambda r: r.event in {"a.made", "b.made"},
        AuditQuery(events=("a.gone",), actor="bob", target="dog"): lambda r: (
            (r.event, r.actor, r.target) == ("a.gone", "bob", "dog")
        ),
        AuditQuery(since=NOW + 3, until=NOW + 9): lambda r: NOW + 3 <= r.at < NOW + 9,
        AuditQuery(text="CAT", actor="bob"): lambda r: "cat" in r.target.lower() and r.actor == "bob",
        AuditQuery(text="at", events=("a.made", "a.gone")): lambda r: (
            "at" in r.target.lower() and r.event in {"a.made", "a.gone"}
        ),
        AuditQuery(actor="\x00"): lambda _: False,
        AuditQuery(text="\x00"): lambda _: False,
    }
    for query, holds in queries.items():
        for limit in (1, 7, 200):
            assert walked(store, query, limit) == [record for record in every if holds(record)], query
        if not query.text:
            exported = list(store.audit_reads.audit_export(query))
            assert exported == [record for record in reversed(every) if holds(record)], query
    assert store.audit_reads.audit_events() == tuple(sorted({record.event for record in every}))


def test_a_search_for_a_part_looks_at_some_records_and_says_how_far_it_came(store, monkeypatch):
    note(store, "x.y", "needle", at=NOW)
    for number in range(25):
        note(store, "x.z", "hay", at=NOW + 1 + number)
    monkeypatch.setattr(audit_reads_file, "MAX_SEARCHED", 10)
    first = store.audit_reads.audit_page(AuditQuery(text="needle"))
    assert (first.records, first.after) == ((), AuditPlace(NOW + 16, first.after.seq))
    assert [record.target for record in walked(store, AuditQuery(text="needle"), 5)] == ["needle"]


def test_each_page_of_the_audit_goes_by_an_index(database, store):
    plans = []
    for query in (
        AuditQuery(),
        AuditQuery(actor="x"),
        AuditQuery(events=("x", "y")),
        AuditQuery(target="x"),
        AuditQuery(since=1, until=2),
    ):
        statements = Statements(store.engine)
        store.audit_reads.audit_page(query, after=AuditPlace(NOW, 5))
        plans.append(statements.texts[-1])
    if database.kind != "sqlite":
        return
    with store.engine.connect() as connection:
        for sql in plans:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", tuple([1] * sql.count("?"))).all()
            shown = " ".join(row[3] for row in plan)
            assert "USING INDEX ix_audit_" in shown
            assert "SCAN audit" not in shown.replace("SCAN audit USING INDEX", "")


def test_the_time_line_tells_all_that_happened_to_a_credential(store, seeded):
    both, one, _ = seeded
    at = NOW + 100
    jti = look(store, both.client_id)[0].session.jti
    session_actions.end(store.accounts, jti, Reason.ENDED_BY_OWNER, actor="usr", now=at)
    user_actions.revoke(store.accounts, "ADA", "writer", actor="adm", now=at + 1)
    user_actions.grant(store.accounts, "Ada", "writer", actor="adm", now=at + 2)
    credentials.edit(store.accounts, both.client_id, name="new", actor="usr", now=at + 3)
    credentials.edit(store.accounts, one.client_id, name="not this", actor="usr", now=at + 4)
    role_actions.create_role(store.accounts, "third", "operational", (), actor="adm", now=at + 5)
    user_actions.grant(store.accounts, "bob", "writer", actor="adm", now=at + 5)
    role_actions.delete_role(store.accounts, "writer", actor="adm", now=at + 6)
    role_actions.delete_role(store.accounts, "third", actor="adm", now=at + 7)
    page = store.audit_reads.timeline(both.client_id)
    assert [(record.event, record.at - at) for record in page.records] == [
        ("role.deleted", 6),
        ("credential.edited", 3),
        ("user.role_granted", 2),
        ("user.role_revoked", 1),
        ("session.ended", 0),
        ("credential.created", -100),
    ]
    assert page.after is None
    found, after = [], None
    while True:
        part = store.audit_reads.timeline(both.client_id, 2, after, owner_id=both.owner_id)
        found += part.records
        after = part.after
        if after is None:
            break
    assert tuple(found) == page.records
    with pytest.raises(NotFound):
        store.audit_reads.timeline(both.client_id, owner_id="usr_other")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET hash = 'x'",
        "UPDATE audit_head SET seq = seq + 1",
        "UPDATE audit SET detail = '{}' WHERE seq = (SELECT seq FROM audit_head)",
        "UPDATE audit SET hash = 'x' WHERE seq = (SELECT seq FROM audit_head)",
        "DELETE FROM audit WHERE seq = (SELECT seq FROM audit_head)",
        "INSERT INTO audit SELECT seq + 1, at, actor, event, target, detail, hash, hash FROM audit WHERE seq = 6",
    ],
)
def test_the_head_of_the_chain_tells_what_was_done_to_it(database, store, statement):
    status = store.audit_reads.chain_status()
    assert (status.intact, status.records, status.newest_at) == (True, 6, NOW)
    database.execute(statement)
    assert not store.audit_reads.chain_status().intact
    assert store.accounts.audit_verify().first_bad is not None
