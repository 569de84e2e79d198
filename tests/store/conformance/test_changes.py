"""Audited changes and the chain of their records."""

import json
import threading

import pytest

from authserver.actions import users as user_actions
from authserver.audit import Event, Verdict
from authserver.ports.errors import Conflict, Invalid, NotFound, Unavailable
from authserver.ports.users import Role
from authserver.store import accounts as accounts_module
from tests.store.conformance.support import WHO, at_once, change, seed
from tests.support.deadlines import join
from tests.support.stores import NOW, Statements, kills


class TestChange:
    def test_the_change_and_its_record_are_written_together(self, store):
        with change(store, "role.created", "rol_1", name="reader") as tx:
            tx.insert_role(Role("rol_1", "reader", "operational"), NOW)
            tx.detail(more=1)
        (record,) = store.accounts.audit_records()
        assert (record.seq, record.event, record.target) == (1, "role.created", "rol_1")
        assert record.detail == '{"more":1,"name":"reader"}'
        assert [role.name for role in store.accounts.roles()] == ["reader"]

    def test_a_refused_change_leaves_nothing(self, store):
        with pytest.raises(NotFound), change(store) as tx:
            tx.insert_role(Role("rol_1", "reader", "operational"), NOW)
            tx.append_revocation("role", "rol_1", NOW)
            tx.user("nobody")
        assert not store.accounts.roles()
        assert not list(store.accounts.audit_records())
        assert not kills(store)

    def test_several_changes_commit_together_with_a_record_each_or_not_at_all(self, store):
        def both(last):
            with change(store, "role.created", "rol_1", name="reader") as tx:
                tx.insert_role(Role("rol_1", "reader", "operational"), NOW)
                tx.detail(more=1)
                tx.append_revocation("first", "rol_1", NOW)
                tx.next_event(Event("role.created", "test", "rol_2", {"name": last}))
                tx.insert_role(Role("rol_2", last, "operational"), NOW)
                tx.append_revocation("second", "rol_2", NOW)

        with pytest.raises(Conflict):
            both("reader")
        assert not list(store.accounts.audit_records())
        both("writer")
        records = list(store.accounts.audit_records())
        assert [(each.seq, each.target, json.loads(each.detail)) for each in records] == [
            (1, "rol_1", {"more": 1, "name": "reader"}),
            (2, "rol_2", {"name": "writer"}),
        ]
        assert store.accounts.audit_verify() == Verdict(2)
        assert [each[:2] for each in kills(store)] == [("first", "rol_1"), ("second", "rol_2")]

    def test_T_179_INV_18_without_its_record_there_is_no_change(self, own_database):
        """T-179, INV-18: the book does not take the line, so the deed is undone."""
        database = own_database
        store = database.open()
        seed(store)
        before = store.accounts.user("ada").role_version
        if database.kind == "sqlite":
            database.execute("CREATE TRIGGER t BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
        else:
            database.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$",
                "CREATE TRIGGER t BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
        with pytest.raises(Unavailable):
            user_actions.revoke(store.accounts, "ada", "writer", **WHO)
        assert store.accounts.user("ada").role_version == before
        assert "writer" in store.accounts.user("ada").role_names

    def test_records_and_kills_of_many_nodes_are_one_row_without_a_gap(self, nodes):
        def some(store, tag):
            for number in range(15):
                with change(store, target=f"{tag}{number}") as tx:
                    tx.append_revocation("test", f"{tag}{number}", NOW, number)
            return True

        assert at_once(*(lambda s=s, t=t: some(s, t) for s, t in zip(nodes * 2, "abcd", strict=True))) == [True] * 4
        records = list(nodes[0].accounts.audit_records())
        assert [record.seq for record in records] == list(range(1, 61))
        assert [subject for _, subject, _ in kills(nodes[0])] == [record.target for record in records]
        assert nodes[1].accounts.audit_verify().first_bad is None

    def test_records_come_in_order_from_behind_one_and_may_be_narrowed(self, store, monkeypatch):
        monkeypatch.setattr(accounts_module, "_BATCH", 3)
        for number in range(10):
            with change(store, "even.one" if number % 2 == 0 else "odd.one", str(number)):
                pass
        seqs = [record.seq for record in store.accounts.audit_records(after=4, limit=5)]
        assert seqs == [5, 6, 7, 8, 9]
        assert [r.target for r in store.accounts.audit_records(event="odd.one")] == ["1", "3", "5", "7", "9"]
        assert [r.target for r in store.accounts.audit_records(limit=4, event="odd.one")] == ["1", "3", "5", "7"]
        assert [r.seq for r in store.accounts.audit_newest(2)] == [9, 10]
        assert not list(store.accounts.audit_records(after=10))

    def test_a_slow_reader_of_records_holds_no_transaction(self, database, monkeypatch):
        monkeypatch.setattr(accounts_module, "_BATCH", 2)
        store = database.open()
        for _ in range(5):
            with change(store):
                pass
        records = store.accounts.audit_records()
        assert next(records).seq == 1
        assert store.engine.pool.checkedout() == 0
        assert [record.seq for record in records] == [2, 3, 4, 5]

    @pytest.mark.parametrize(("actor", "target"), [("a" * 201, "t"), ("a", "t" * 256), ("a\x00", "t"), ("a", "\ud800")])
    def test_a_record_that_cannot_be_written_refuses_the_change(self, database, actor, target):
        store = database.open()
        with pytest.raises(Invalid), store.accounts.change(Event("test.changed", actor, target), NOW) as tx:
            tx.insert_role(Role("rol_1", "reader", "operational"), NOW)
        assert not store.accounts.roles()


class TestVerify:
    @pytest.fixture
    def written(self, database, monkeypatch):
        monkeypatch.setattr(accounts_module, "_BATCH", 4)
        store = database.open()
        for number in range(10):
            with change(store, target=str(number)):
                pass
        return database, store

    @pytest.mark.parametrize(
        ("forgery", "first_bad"),
        [
            ("UPDATE audit SET target = 'x' WHERE seq = 7", 7),
            ("UPDATE audit SET detail = '{}  ' WHERE seq = 1", 1),
            ("DELETE FROM audit WHERE seq = 5", 5),
            ("DELETE FROM audit WHERE seq = 10", 10),
            ("INSERT INTO audit SELECT 11, at, actor, event, target, detail, hash, hash FROM audit WHERE seq = 10", 11),
            ("INSERT INTO audit SELECT -1, at, actor, event, target, detail, hash, hash FROM audit WHERE seq = 1", 1),
            ("UPDATE audit_head SET seq = 9", 9),
        ],
    )
    def test_whatever_is_altered_shows(self, written, forgery, first_bad):
        database, store = written
        assert store.accounts.audit_verify().records == 10
        database.execute(forgery)
        assert store.accounts.audit_verify().first_bad == first_bad

    def test_cutting_the_tail_off_with_the_head_shows(self, written):
        database, store = written
        database.execute(
            "UPDATE audit_head SET seq = 9, hash = (SELECT hash FROM audit WHERE seq = 9)",
            "DELETE FROM audit WHERE seq = 10",
        )
        assert store.accounts.audit_verify().first_bad is not None

    def test_it_holds_while_changes_go_on_and_reads_page_by_page(self, written):
        database, store = written
        stop, other = threading.Event(), database.open()

        def go_on():
            while not stop.is_set():
                with change(other):
                    pass

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            verdicts = [store.accounts.audit_verify() for _ in range(20)]
        finally:
            stop.set()
            join(writer)
        assert all(verdict.first_bad is None for verdict in verdicts)
        assert verdicts[-1].records >= verdicts[0].records >= 10
        seen = Statements(store.engine)
        store.accounts.audit_verify()
        assert sum("LIMIT" in text.upper() for text in seen.texts) >= 3
