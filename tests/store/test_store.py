"""CONFORMANCE: one test a promise of ``authserver/ports.py``, on the model, SQLite and PostgreSQL.

``place`` is every backend, ``database`` the two real ones: those tests race, break
connections or write behind the server's back, which dictionaries cannot suffer.
"""

import json
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import event, make_url

from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.preconditions import administrators
from authserver.audit import Event, Verdict
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from authserver.ports.hot_path import TokenKeys
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.users import Role, User
from authserver.rules.facts import Reason
from authserver.store import accounts as accounts_file
from authserver.store.engine import connections as engine_file
from authserver.store.tokens import sessions
from authserver.store.tokens import usage_buffer as activity_file
from keys.keyring import State
from keys.material import make
from keys.rotation import SKEW
from tests.support import databases
from tests.support.deadlines import barrier, join
from tests.support.stores import (
    DAY,
    MASTER,
    NOW,
    Database,
    Statements,
    engine_for,
    fresh,
    kills,
    start,
    uses,
)

WHO = {"actor": "test", "now": NOW}
PEPPER = b"p" * 32
USE = {"by": "rs1", "method": "GET", "route": "/things"}


@pytest.fixture(params=["model", "sqlite", "postgresql"])
def place(request, tmp_path):
    made = fresh(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    made = fresh(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database(request, tmp_path):
    """One that is altered beyond what emptying repairs."""
    made = fresh(request.param, tmp_path, own=True)
    yield made
    made.close()


@pytest.fixture
def store(place):
    return place.open()


@pytest.fixture
def nodes(database):
    return database.open(), database.open()


def at_once(*acts):
    """Run all at the same moment; each one's result, or the exception it raised."""
    gate = barrier(len(acts))

    def run(act):
        gate.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the outcome
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def winners(results):
    """How many came through; whoever did not was told ``Conflict``."""
    lost = [each for each in results if isinstance(each, Exception)]
    assert all(isinstance(each, Conflict) for each in lost), lost
    return len(results) - len(lost)


def change(store, event="test.changed", target="target", at=NOW, **detail):
    return store.accounts.change(Event(event, "test", target, detail), at)


def seed(store):
    """Two people, three roles."""
    for name, kind in (("reader", "operational"), ("writer", "operational"), ("builder", "builder")):
        role_actions.create_role(store.accounts, name, kind, (), **WHO)
    user_actions.create_user(store.accounts, "ada", ["reader", "writer", "builder"], **WHO)
    user_actions.create_user(store.accounts, "bob", ["reader"], **WHO)


def credential(store, owner="ada", roles=("reader", "writer"), now=NOW):
    made = credentials.create(store.accounts, owner, "bot", now + 90 * DAY, roles, pepper=PEPPER, actor="test", now=now)
    return made.credential


def api(store, name="api", **more):
    return resource_server_actions.register_resource_server(
        store.accounts, name, f"https://{name}.example.com", pepper=PEPPER, **WHO, **more
    ).server


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
        monkeypatch.setattr(accounts_file, "_BATCH", 3)
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
        monkeypatch.setattr(accounts_file, "_BATCH", 2)
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
        monkeypatch.setattr(accounts_file, "_BATCH", 4)
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


class TestPeople:
    def test_a_user_is_found_in_any_letter_case(self, store):
        seed(store)
        assert store.accounts.user("ADA") == store.accounts.user("ada")
        assert store.accounts.user("ada").role_names == ("builder", "reader", "writer")

    @pytest.mark.parametrize("name", ["nobody", "", "a\x00b", "\ud800", "x" * 1000])
    def test_what_is_not_there_is_not_found(self, store, name):
        seed(store)
        asks = [store.accounts.user, store.accounts.credential, store.keys.get]
        with change(store) as tx:
            asks += [tx.user, tx.role, tx.credential, tx.resource_server]
            for ask in asks:
                with pytest.raises(NotFound):
                    ask(name)

    def test_a_name_is_taken_once(self, nodes):
        seed(nodes[0])
        results = at_once(
            *(
                lambda s=s, n=n: user_actions.create_user(s.accounts, n, ["reader"], **WHO)
                for s in nodes
                for n in ("eve", "EVE")
            )
        )
        assert winners(results) == 1
        assert [user.username.lower() for user in nodes[0].accounts.users()] == ["ada", "bob", "eve"]

    def test_a_taken_name_is_a_conflict(self, store):
        seed(store)
        with pytest.raises(Conflict):
            user_actions.create_user(store.accounts, "ADA", ["reader"], **WHO)
        with pytest.raises(Conflict):
            role_actions.create_role(store.accounts, "reader", "builder", (), **WHO)

    def test_each_change_of_roles_raises_the_version_by_one_and_is_noted(self, store):
        seed(store)
        ada = store.accounts.user("ada")
        assert user_actions.revoke(store.accounts, "ada", "writer", **WHO) == 2
        assert user_actions.grant(store.accounts, "ada", "writer", **WHO) == 3
        assert user_actions.disable(store.accounts, "ada", **WHO) == 4
        assert user_actions.enable(store.accounts, "ada", **WHO) == 5
        assert kills(store) == [("role_version", ada.id, version) for version in (2, 3, 4, 5)]
        assert store.accounts.user("ada") == replace(ada, role_version=5)

    def test_of_two_equal_grants_one_wins(self, nodes):
        seed(nodes[0])
        results = at_once(*(lambda s=s: user_actions.grant(s.accounts, "bob", "writer", **WHO) for s in nodes * 2))
        assert winners(results) == 1
        assert nodes[0].accounts.user("bob").role_version == 2

    def test_T_133_deleting_a_role_raises_every_holders_version(self, store):
        seed(store)
        user_actions.create_user(store.accounts, "eve", ["writer"], **WHO)
        role_actions.create_role(store.accounts, "spare", "operational", (), **WHO)
        for name in ("ada", "bob"):
            user_actions.grant(store.accounts, name, "spare", **WHO)
        holders = [store.accounts.user(name).id for name in ("ada", "bob")]
        assert role_actions.delete_role(store.accounts, "reader", **WHO) == 2
        assert sorted(kills(store)) == sorted(("role_version", each, version) for each in holders for version in (2, 3))
        assert [user.role_version for user in store.accounts.users()] == [3, 3, 1]
        assert [role.name for role in store.accounts.roles()] == ["builder", "spare", "writer"]
        role_actions.create_role(store.accounts, "reader", "operational", (), **WHO)
        assert store.accounts.user("bob").role_names == ("spare",)

    def test_nobody_is_left_without_an_operational_role(self, store):
        seed(store)
        user_actions.disable(store.accounts, "bob", **WHO)
        before = store.accounts.users()
        with pytest.raises(role_actions.LastOperationalRole, match="bob would be left without an operational role"):
            role_actions.delete_role(store.accounts, "reader", **WHO)
        assert store.accounts.users() == before
        for number in range(9):
            user_actions.create_user(store.accounts, f"user{number}", ["reader", "writer"][: 1 + number % 2], **WHO)
        with pytest.raises(role_actions.LastOperationalRole, match="bob, user0, user2, user4, user6 and 1 more would"):
            role_actions.delete_role(store.accounts, "reader", **WHO)
        role_actions.delete_role(store.accounts, "builder", **WHO)

    def test_who_is_able_may_enter_holds_the_permission_and_is_enabled(self, store):
        seed(store)
        role_actions.create_role(store.accounts, "door", "builder", (), **WHO)
        role_actions.create_role(store.accounts, "power", "operational", ("users:manage", "other"), **WHO)
        for name, roles in (("in", ["reader", "door", "power"]), ("out", ["power"]), ("weak", ["reader", "door"])):
            user_actions.create_user(store.accounts, name, roles, **WHO)
        who = {name: store.accounts.user(name).id for name in ("in", "out", "weak")}
        with store.accounts.change(Event("test.asked", "test", "-"), NOW) as tx:
            assert tx.users_with_permission("users:manage") == {who["in"]}
            assert tx.users_with_permission("users") == tx.users_with_permission("nothing") == frozenset()
            tx.switch_user(tx.user("in"), NOW, NOW)
            assert tx.users_with_permission("users:manage") == frozenset()

    def test_of_administrators_who_rob_each_other_at_once_one_is_left(self, nodes):
        seed(nodes[0])
        role_actions.create_role(nodes[0].accounts, "power", "builder", ("users:manage",), **WHO)
        names = [f"admin{number}" for number in range(4)]
        for name in names:
            user_actions.create_user(nodes[0].accounts, name, ["reader", "power"], **WHO)
        acts = [
            lambda name=name, node=node: user_actions.disable(node.accounts, name, keep_administrator=True, **WHO)
            for name, node in zip(names, nodes * 2, strict=False)
        ]
        assert winners(at_once(*acts)) == 3
        left = [user for user in nodes[0].accounts.users() if user.username in names and user.disabled_at is None]
        assert len(left) == 1
        for act in (
            lambda: user_actions.disable(nodes[0].accounts, left[0].username, keep_administrator=True, **WHO),
            lambda: user_actions.revoke(nodes[0].accounts, left[0].username, "power", keep_administrator=True, **WHO),
            lambda: role_actions.delete_role(nodes[0].accounts, "power", keep_administrator=True, **WHO),
        ):
            with pytest.raises(administrators.LastAdministrator):
                act()

    def test_lists_take_a_fixed_number_of_statements(self, database):
        store = database.open()
        seed(store)
        counts = []
        for _ in range(2):
            seen = Statements(store.engine)
            assert store.accounts.users()
            store.accounts.credentials()
            counts.append(len(seen.texts))
            for number in range(3):
                user_actions.create_user(store.accounts, f"user{len(counts)}{number}", ["reader"], **WHO)
                credential(store)
        assert counts[0] == counts[1]

    def test_resource_servers_are_found_by_name_id_or_audience_and_taken_once(self, store):
        made = api(store)
        assert store.accounts.resource_servers() == (made,)
        with change(store) as tx:
            assert [tx.resource_server(each) for each in (made.name, made.client_id, made.audience)] == [made] * 3
            tx.update_resource_server(made.id, disabled_at=NOW)
        assert store.accounts.resource_servers()[0].disabled_at == NOW
        for name, audience in (("api", "https://other.example.com"), ("other", made.audience)):
            with pytest.raises(Conflict), change(store) as tx:
                tx.insert_resource_server(ResourceServer("rs_2", "c2", name, audience, None, NOW, None), b"h", "acv_1")


class TestCredentials:
    def test_one_that_is_not_yours_looks_like_none(self, store):
        seed(store)
        made = credential(store)
        ada, bob = store.accounts.user("ada").id, store.accounts.user("bob").id
        assert store.accounts.credential(made.client_id, ada).name == "bot"
        for owner, client_id in ((bob, made.client_id), (bob, "unknown"), (None, "unknown")):
            with pytest.raises(NotFound):
                store.accounts.credential(client_id, owner)
        assert store.accounts.credentials(bob) == ()

    def test_lists_are_whole_and_the_newest_comes_first(self, store):
        seed(store)
        older, newer = credential(store), credential(store, "bob", ("reader",), NOW + 1)
        listed = store.accounts.credentials()
        assert [each.client_id for each in listed] == [newer.client_id, older.client_id]
        assert listed[1] == store.accounts.credential(older.client_id)
        assert listed[1].roles == ("reader", "writer")
        assert len(listed[1].secrets) == 1

    def test_a_deleted_one_is_gone_and_its_secrets_with_it(self, store):
        seed(store)
        made = credential(store)
        credentials.delete(store.accounts, made.client_id, **WHO)
        assert store.accounts.credentials() == ()
        facts = store.hot_path.issue_facts(made.client_id, None)
        assert facts is None or (facts.credential_deleted and all(each.ends_at == NOW for each in facts.secrets))
        assert [kind for kind, subject, _ in kills(store) if subject == made.client_id] == ["secret", "credential"]

    def test_at_most_two_secrets_live_and_none_is_given_more_time(self, store):
        seed(store)
        made = credential(store)
        for number, overlap in enumerate((3600, 7 * DAY, 3600), start=1):
            credentials.regenerate(
                store.accounts, made.client_id, overlap, pepper=PEPPER, actor="test", now=NOW + number
            )
        ends = [each.ends_at for each in store.accounts.credential(made.client_id).secrets]
        assert ends == [None, NOW + 3 + 3600, NOW + 3, NOW + 2]
        credentials.regenerate(store.accounts, made.client_id, 0, pepper=PEPPER, actor="test", now=NOW + 9)
        ends = [each.ends_at for each in store.accounts.credential(made.client_id).secrets]
        assert ends == [None, NOW + 9, NOW + 9, NOW + 3, NOW + 2]

    def test_regenerated_at_once_two_live_at_most(self, nodes):
        seed(nodes[0])
        made = credential(nodes[0])

        def again(store):
            return credentials.regenerate(store.accounts, made.client_id, 3600, pepper=PEPPER, **WHO)

        assert winners(at_once(*(lambda s=s: again(s) for s in nodes * 2))) == 4
        ends = [each.ends_at for each in nodes[0].accounts.credential(made.client_id).secrets]
        assert sorted(each or 0 for each in ends) == [0, NOW, NOW, NOW, NOW + 3600]

    def test_what_moves_the_end_of_a_token_is_listed_and_what_does_not_is_not(self, store):
        seed(store)
        made = credential(store)
        for days, name in ((80, None), (85, None), (None, "other")):
            at = None if days is None else NOW + days * DAY
            credentials.edit(store.accounts, made.client_id, name=name, expires_at=at, **WHO)
        general_settings.set_general(store.accounts, "idle_timeout_minutes", "15", **WHO)
        general_settings.set_general(store.accounts, "max_credential_days", "30", **WHO)
        assert kills(store) == [
            ("credential_expiry", made.client_id, NOW + 80 * DAY),
            ("credential_expiry", made.client_id, NOW + 85 * DAY),
            ("settings", "idle_timeout_minutes", 15),
        ]


class TestHotReads:
    def test_an_unknown_client_has_no_facts(self, store):
        assert store.hot_path.issue_facts("nobody", None) is None

    def test_the_facts_of_a_token_request(self, store):
        seed(store)
        server = api(store)
        store.keys.ensure_active(make("ES256", MASTER), "test", NOW)
        made = credential(store)
        user_actions.revoke(store.accounts, "ada", "writer", **WHO)
        facts = store.hot_path.issue_facts(made.client_id, None)
        assert (facts.now, facts.owner_id, facts.role_version) == (NOW, made.owner_id, 2)
        assert (facts.chosen, facts.held) == ({"reader", "writer"}, {"reader", "builder"})
        assert (facts.audience, facts.token_alg, facts.active_kid) == (
            server.audience,
            "ES256",
            store.keys.ring()[0].kid,
        )
        assert [secret.ends_at for secret in facts.secrets] == [None]
        assert (facts.max_lifetime, facts.idle_timeout, facts.epoch) == (720 * 60, 30 * 60, 1)

    @pytest.mark.parametrize(
        "resource", ["https://nobody.example.com", "\x00", "https://api.example.com\x00", "\ud800"]
    )
    def test_an_audience_nobody_has_is_no_audience(self, store, resource):
        seed(store)
        api(store)
        assert store.hot_path.issue_facts(credential(store).client_id, resource).audience is None

    def test_which_audience_a_token_is_for(self, store):
        seed(store)
        client_id = credential(store).client_id
        assert store.hot_path.issue_facts(client_id, None).audience is None
        first = api(store)
        assert store.hot_path.issue_facts(client_id, None).audience == first.audience
        second = api(store, "second")
        assert store.hot_path.issue_facts(client_id, None).audience is None
        assert store.hot_path.issue_facts(client_id, second.audience).audience == second.audience
        general_settings.set_general(store.accounts, "default_audience", first.audience, **WHO)
        assert store.hot_path.issue_facts(client_id, None).audience == first.audience
        with change(store) as tx:
            tx.update_resource_server(first.id, disabled_at=NOW)
        assert store.hot_path.issue_facts(client_id, None).audience is None

    def test_the_facts_of_an_introspection(self, store):
        seed(store)
        server, made, key = api(store), credential(store), make("ES256", MASTER)
        store.keys.ensure_active(key, "test", NOW)
        session = start(made.client_id, secret_id=made_secret(store, made), kid=key.kid)
        keys = TokenKeys(session.jti, made.client_id, session.secret_id, key.kid)
        facts = store.hot_path.introspection_facts(server.client_id, keys)
        assert (facts.caller.id, facts.caller.audience, facts.caller.disabled) == (server.id, server.audience, False)
        assert facts.standing.key_usable
        assert facts.standing.credential_expires_at == made.expires_at
        assert facts.recorded is None
        store.sessions.end(session, Reason.REVOKED, NOW)
        assert store.hot_path.introspection_facts(server.client_id, keys).recorded.ended is Reason.REVOKED
        stranger = store.hot_path.introspection_facts("nobody", None)
        assert (stranger.caller, stranger.standing, stranger.recorded) == (None, None, None)
        foreign = store.hot_path.introspection_facts(server.client_id, keys._replace(secret_id="sec_of_another"))
        assert foreign.standing is None

    def test_roles_and_their_version_are_of_one_instant(self, nodes):
        """INV-02: an even version always comes without the role, an odd one with it."""
        seed(nodes[0])
        client_id, stop, seen = credential(nodes[0]).client_id, threading.Event(), set()

        def flip():
            for _ in range(25):
                user_actions.revoke(nodes[0].accounts, "ada", "writer", **WHO)
                user_actions.grant(nodes[0].accounts, "ada", "writer", **WHO)
            stop.set()

        def look():
            while not stop.is_set():
                facts = nodes[1].hot_path.issue_facts(client_id, None)
                seen.add((facts.role_version % 2, "writer" in facts.held))
            nodes[1].thread_connections.drop()

        assert at_once(flip, look) == [None, None]
        assert seen == {(1, True), (0, False)}

    def test_an_end_a_newer_version_wrote_is_an_end(self, database):
        """INV-24: two adjacent versions run side by side."""
        store = database.open()
        seed(store)
        server, session = api(store), start()
        store.sessions.end(session, Reason.REVOKED, NOW)
        database.execute("UPDATE sessions SET end_reason = 'not_known_yet'")
        keys = TokenKeys(session.jti, "c1", "s1", "k1")
        assert store.hot_path.introspection_facts(server.client_id, keys).recorded.ended is not None


def made_secret(store, made):
    return store.accounts.credential(made.client_id).secrets[0].id


def row(store, session):
    return next(each for each in store.sessions.of_credential(session.client_id) if each.jti == session.jti)


class TestSessions:
    def test_the_first_end_stands(self, store):
        session = start()
        store.usage.issued(session)
        store.usage.flush()
        store.sessions.end(session, Reason.IDLE, NOW + 5)
        store.sessions.end(session, Reason.REVOKED, NOW + 9)
        assert not store.sessions.end_known(session.jti, Reason.REVOKED, NOW + 9)
        assert (row(store, session).ended_at, row(store, session).end_reason) == (NOW + 5, "idle")

    def test_an_end_needs_no_row_before(self, store):
        session = start()
        store.sessions.end(session, Reason.ROLES_CHANGED, NOW)
        assert row(store, session).end_reason == "roles_changed"

    def test_many_ends_in_one_change_are_each_as_one_alone(self, store):
        idle, expired, ended = start(), start(), start()
        store.sessions.end(ended, Reason.REVOKED, NOW)
        ends = [(ended, Reason.IDLE), (expired, Reason.EXPIRED), (idle, Reason.IDLE)]
        for _ in range(2):
            store.sessions.end_all(ends, NOW + 5)
        results = [(row(store, each).ended_at, row(store, each).end_reason) for each in (idle, expired, ended)]
        assert results == [(NOW + 5, "idle"), (NOW + 5, "expired"), (NOW, "revoked")]
        assert kills(store) == [("session", ended.jti, 0), ("session", idle.jti, 0)]
        store.sessions.end_all([], NOW)

    def test_of_many_ends_at_once_one_stands(self, nodes):
        session = start()
        reasons = [Reason.IDLE, Reason.REVOKED, Reason.ENDED_BY_OWNER, Reason.EXPIRED]
        results = at_once(
            *(lambda s=s, r=r: s.sessions.end(session, r, NOW) for s, r in zip(nodes * 2, reasons, strict=True))
        )
        assert results == [None] * 4
        known = row(nodes[0], session).end_reason
        assert kills(nodes[0]) == ([] if known == "expired" else [("session", session.jti, 0)])

    def test_an_end_of_its_own_is_noted_once_for_the_feed(self, store):
        ends = {reason: start() for reason in Reason}
        for reason, session in ends.items():
            store.sessions.end(session, reason, NOW)
            store.sessions.end(session, reason, NOW + 1)
        own = [
            ends[reason].jti
            for reason in Reason
            if reason in {"revoked", "ended_by_owner", "idle", "token_typ_changed", "session_limit", "leaked"}
        ]
        assert kills(store) == [("session", jti, 0) for jti in own]

    def test_ending_by_id_is_noted_only_when_something_ended(self, store):
        session = start()
        store.usage.issued(session)
        store.usage.flush()
        assert not store.sessions.end_known("unknown", Reason.REVOKED, NOW)
        assert store.sessions.end_known(session.jti, Reason.REVOKED, NOW)
        with change(store) as tx:
            assert not tx.end_session(session.jti, Reason.REVOKED, NOW)
            assert not tx.end_session("unknown", Reason.REVOKED, NOW)
        assert kills(store) == [("session", session.jti, 0)]

    def test_all_sessions_of_a_credential_end_together(self, store):
        mine, other, over = [start("c1") for _ in range(3)], start("c2"), start("c1", at=NOW - 9 * DAY)
        for each in (*mine, other, over):
            store.usage.issued(each)
        store.usage.flush()
        store.sessions.end(mine[0], Reason.IDLE, NOW)
        with change(store) as tx:
            assert tx.end_sessions("c1", Reason.ENDED_BY_OWNER, NOW + 1) == 2
        assert [row(store, each).end_reason for each in mine] == ["idle", "ended_by_owner", "ended_by_owner"]
        assert row(store, other).ended_at is None

    def test_the_newest_comes_first(self, store):
        sessions = [start(at=NOW + number) for number in range(3)]
        for each in sessions:
            store.usage.issued(each)
        store.usage.flush()
        listed = store.sessions.of_credential("c1")
        assert [each.jti for each in listed] == [each.jti for each in reversed(sessions)]
        assert listed[0].roles == ("reader", "writer")

    def test_what_is_long_over_is_swept_and_nothing_else(self, store, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        kept = [start(), start(lasts=100), start(lasts=50)]
        for each in (*kept, *(start(lasts=49) for _ in range(7))):
            store.sessions.end(each, Reason.ROLES_CHANGED, NOW)
        store.usage.used(start(), NOW - 401 * DAY, **USE)
        store.usage.used(kept[0], NOW, **USE)
        store.usage.flush()
        store.sessions.sweep(NOW + 60, 10)
        left = {each.jti for each in store.sessions.of_credential("c1")}
        assert {each.jti for each in kept} <= left
        assert len(left) <= 4
        assert sum(uses(store).values()) == 1
        assert store.sessions.sweep(NOW + 60, 10) == 0

    def test_the_backlog_tells_how_far_the_sweep_is_behind(self, store):
        assert store.sessions.backlog(NOW, 0) == (0, 0)
        for lasts in (50, 500):
            store.sessions.end(start(lasts=lasts), Reason.ROLES_CHANGED, NOW)
        assert store.sessions.backlog(NOW + 60, 10) == (2, 0)
        assert store.sessions.backlog(NOW + 75, 10) == (2, 15)
        store.sessions.sweep(NOW + 75, 10)
        assert store.sessions.backlog(NOW + 75, 10) == (1, 0)

    def test_two_nodes_sweep_at_once_and_nothing_is_left(self, nodes, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        for _ in range(40):
            nodes[0].sessions.end(start(lasts=5), Reason.ROLES_CHANGED, NOW)
        swept = at_once(*(lambda s=s: s.sessions.sweep(NOW + 60, 10) for s in nodes))
        assert not [each for each in swept if isinstance(each, Exception)]
        nodes[0].sessions.sweep(NOW + 60, 10)
        assert nodes[0].sessions.of_credential("c1") == ()

    def test_a_sweep_without_time_left_takes_one_step(self, store, monkeypatch):
        monkeypatch.setattr(sessions, "_SWEEP_BATCH", 3)
        for _ in range(9):
            store.sessions.end(start(lasts=5), Reason.ROLES_CHANGED, NOW)
        store.sessions.sweep(NOW + 60, 10, seconds=0)
        assert len(store.sessions.of_credential("c1")) in {0, 6}


class TestActivityClock:
    def test_never_moves_back(self, store):
        session = start()
        for at in (NOW + 250, NOW + 100):
            store.usage.used(session, at, **USE)
            assert store.usage.last_used(session.jti) == NOW + 250
        store.usage.flush()
        store.usage.used(session, NOW + 200, **USE)
        store.usage.flush()
        assert row(store, session).last_used_at == NOW + 250

    def test_nodes_write_over_each_other_forward_only(self, nodes):
        session = start()
        acts = [
            lambda s=s, k=k: [(s.usage.used(session, NOW + at, **USE), s.usage.flush()) for at in range(k, 40, 4)]
            for k, s in enumerate(nodes * 2)
        ]
        assert not [each for each in at_once(*acts) if isinstance(each, Exception)]
        assert row(nodes[0], session).last_used_at == NOW + 39
        assert uses(nodes[0]) == {("c1", "GET", "/things"): 40}

    def test_a_use_never_revives(self, place):
        """INV-05: node A notes a use, node B ends the session, A writes afterwards."""
        a, b = place.open(), place.open()
        session = start()
        a.usage.used(session, NOW + 5, **USE)
        b.sessions.end(session, Reason.IDLE, NOW + 6)
        a.usage.flush()
        a.usage.used(session, NOW + 7, **USE)
        a.usage.flush()
        assert (row(a, session).ended_at, row(a, session).end_reason) == (NOW + 6, "idle")

    def test_a_use_of_a_recorded_session_moves_its_row_and_never_back(self, store):
        session = start()
        store.usage.issued(session, token_hash="h" * 43, peer="192.0.2.1")
        store.usage.flush()
        for at, peer in ((NOW + 9, "192.0.2.2"), (NOW + 5, "192.0.2.3")):
            store.usage.used(session, at, **USE, peer=peer, recorded=True)
            store.usage.flush()
        moved = row(store, session)
        assert (moved.last_used_at, moved.issued_peer, moved.last_used_peer) == (NOW + 9, "192.0.2.1", "192.0.2.2")

    def test_a_use_of_a_recorded_session_makes_no_row_and_revives_none(self, place):
        """A restored database has no such row any more; a use must not bring it back without the token's hash."""
        store, other = place.open(), place.open()
        ended, gone = start(), start()
        store.usage.issued(ended)
        store.usage.flush()
        for each in (ended, gone):
            store.usage.used(each, NOW + 5, **USE, recorded=True)
        other.sessions.end(ended, Reason.IDLE, NOW + 3)
        store.usage.flush()
        assert row(store, ended).ended_at == NOW + 3
        assert gone.jti not in {each.jti for each in store.sessions.of_credential(gone.client_id)}

    def test_an_unused_session_counts_from_its_issue(self, store):
        session = start()
        store.usage.issued(session)
        store.usage.flush()
        assert row(store, session).last_used_at == NOW
        assert store.usage.last_used("unknown") is None

    def test_a_secret_is_used_when_a_token_is_issued(self, store):
        seed(store)
        made = credential(store)
        session = start(made.client_id, secret_id=made_secret(store, made), at=NOW + 7)
        store.usage.issued(session)
        store.usage.issued(session._replace(jti="earlier", issued_at=NOW + 3))
        store.usage.used(session, NOW + 50, **USE)
        store.usage.flush()
        assert store.accounts.credential(made.client_id).secrets[0].last_used_at == NOW + 7

    def test_uses_are_counted_by_day_and_route_also_in_the_past(self, store):
        session = start(at=NOW - 2 * DAY)
        for at in (NOW, NOW, NOW - DAY):
            store.usage.used(session, at, **USE)
        store.usage.used(session, NOW, by="rs1", method="POST", route="/things")
        store.usage.flush()
        assert uses(store) == {("c1", "GET", "/things"): 3, ("c1", "POST", "/things"): 1}

    def test_beyond_two_hundred_routes_a_day_the_rest_counts_as_other(self, store):
        session = start()
        for number in range(150):
            store.usage.used(session, NOW, **USE | {"route": f"/{number}"})
        store.usage.flush()
        for number in reversed(range(300)):
            store.usage.used(session, NOW, **USE | {"route": f"/{number}"})
        store.usage.used(start("c2"), NOW, **USE)
        store.usage.flush()
        found = uses(store)
        assert len([key for key in found if key[0] == "c1"]) == 201
        assert found["c1", "", "other"] == 100
        assert sum(found.values()) == 451
        assert found["c2", "GET", "/things"] == 1

    def test_another_nodes_routes_count_too(self, nodes):
        for number, store in enumerate(nodes):
            for each in range(150):
                store.usage.used(start(), NOW, **USE | {"route": f"/{number}/{each}"})
            store.usage.flush()
        found = uses(nodes[0])
        assert len(found) == 201
        assert found["c1", "", "other"] == 100

    @pytest.mark.parametrize(
        ("method", "route"), [("G" * 99, "/" + "x" * 999), ("GET\x00", "/"), ("GET", "/\ud800"), ("ÄÖÜ", "/ß")]
    )
    def test_no_route_spoils_the_batch(self, database, method, route):
        store, session = database.open(), start()
        store.usage.used(session, NOW, by="rs1", method=method, route=route)
        store.usage.used(session, NOW + 1, **USE)
        store.usage.flush()
        assert sum(uses(store).values()) == 2

    def test_a_use_noted_while_a_batch_is_written_is_seen_and_written(self, database):
        store, session = database.open(), start()
        store.usage.used(session, NOW + 1, **USE)
        with locked(database):
            flushing = threading.Thread(target=store.usage.flush)
            flushing.start()
            until(lambda: store.usage._sending is not None)
            store.usage.used(session, NOW + 2, **USE)
            assert store.usage.last_used(session.jti) == NOW + 2
            store.usage.used(session, NOW + 1, **USE)
            assert store.usage.last_used(session.jti) == NOW + 2
        join(flushing)
        assert row(store, session).last_used_at == NOW + 1
        # A judge that read the row before that write asks here after it.
        assert store.usage.last_used(session.jti) == NOW + 2
        store.usage.flush()
        assert store.usage.last_used(session.jti) == NOW + 2
        assert row(store, session).last_used_at == NOW + 2
        assert uses(store) == {("c1", "GET", "/things"): 3}

    def test_what_could_not_be_written_is_written_later_once(self, database, monkeypatch):
        monkeypatch.setattr(engine_file, "BUSY_SECONDS", 1)
        store, session = database.open(), start()
        store.usage.used(session, NOW + 1, **USE)
        with locked(database), pytest.raises(Unavailable):
            store.usage.flush()
        assert store.usage.last_used(session.jti) == NOW + 1
        store.usage.used(session, NOW + 2, **USE)
        store.usage.flush()
        store.usage.flush()
        assert row(store, session).last_used_at == NOW + 2
        assert uses(store) == {("c1", "GET", "/things"): 2}

    def test_a_commit_whose_answer_is_lost_counts_once(self, database, monkeypatch):
        """F-12."""
        store, session = database.open(), start()
        store.usage.used(session, NOW + 1, **USE)
        with answer_lost(store.engine, monkeypatch), pytest.raises(Unavailable):
            store.usage.flush()
        store.usage.used(session, NOW + 2, **USE)
        store.usage.flush()
        assert uses(store) == {("c1", "GET", "/things"): 2}
        assert row(store, session).last_used_at == NOW + 2

    def test_no_use_is_acknowledged_once_notes_have_waited_too_long(self, database, monkeypatch):
        """INV-25: what could be lost in a crash would be more than the last two seconds of use."""
        monkeypatch.setattr(engine_file, "BUSY_SECONDS", 1)
        monkeypatch.setattr(activity_file, "MAX_WAIT_SECONDS", 0.1)
        monkeypatch.setattr(activity_file, "FLUSH_SECONDS", 0.01)
        store, session = database.open(background=True), start()

        def refused():
            try:
                store.usage.used(session, NOW + 1, **USE)
            except Unavailable:
                return True
            return False

        def taken():
            return not refused()

        with locked(database):
            until(refused)
        until(taken)
        store.usage.flush()
        assert row(store, session).last_used_at == NOW + 1

    def test_new_sessions_do_not_pile_up_without_end(self, store, monkeypatch, place):
        monkeypatch.setattr(activity_file, "MAX_PENDING", 3)
        made = [start() for _ in range(5)]
        results = []
        for each in made:
            try:
                results.append(store.usage.issued(each))
            except Unavailable as error:
                results.append(error)
        refused = [each for each in results if each is not None]
        assert len(refused) == (0 if place.kind == "model" else 2)
        store.usage.flush()
        store.usage.issued(made[4])

    def test_closing_writes_what_is_left(self, database):
        store, session = database.open(background=True), start()
        store.usage.used(session, NOW + 1, **USE)
        store.close()
        assert not [each for each in threading.enumerate() if each.name == "activity"]
        assert row(database.open(), session).last_used_at == NOW + 1

    def test_closing_lets_go_of_everything_even_when_nothing_can_be_written(self, database, monkeypatch):
        monkeypatch.setattr(engine_file, "BUSY_SECONDS", 1)
        store = database.open()
        store.hot_path.issue_facts("nobody", None)
        store.usage.used(start(), NOW + 1, **USE)
        with locked(database), pytest.raises(Unavailable):
            store.close()
        assert len(store.thread_connections) == 0
        assert store.engine.pool.checkedout() == 0


@contextmanager
def locked(database):
    """Somebody else holds what a writer needs."""
    engine = engine_for(database.url)
    with engine.connect().execution_options(write=True) as connection:
        if database.kind == "postgresql":
            connection.exec_driver_sql("LOCK TABLE sessions, usage_writers, audit_head IN ACCESS EXCLUSIVE MODE")
        else:
            connection.exec_driver_sql("SELECT 1")
        yield
        connection.rollback()
    engine.dispose()


@contextmanager
def answer_lost(engine, monkeypatch):
    """The next commit happens, and the connection breaks before the answer."""
    commit = engine.dialect.do_commit

    def lost(connection):
        commit(connection)
        raise engine.dialect.loaded_dbapi.OperationalError("connection lost")

    monkeypatch.setattr(engine.dialect, "do_commit", lost)
    yield
    monkeypatch.setattr(engine.dialect, "do_commit", commit)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def states(store):
    return {key.kid: str(key.state) for key in store.keys.ring()}


def key(alg="ES256"):
    return make(alg, MASTER)


class TestSigningKeys:
    def test_the_first_key_is_made_once(self, database):
        nodes = [database.open() for _ in range(8)]
        made = at_once(*(lambda s=s: s.keys.ensure_active(key(), "system", NOW) for s in nodes))
        assert sorted(made) == [False] * 7 + [True]
        assert [str(each.state) for each in nodes[0].keys.ring()] == ["active"]
        assert [record.event for record in nodes[0].accounts.audit_records()] == ["key.activated"]

    def test_with_a_key_nothing_is_made_and_nothing_written(self, store):
        first, second, other = key(), key(), key("EdDSA")
        assert store.keys.ensure_active(first, "system", NOW)
        assert not store.keys.ensure_active(second, "system", NOW)
        assert store.keys.ensure_active(other, "system", NOW)
        assert states(store) == {first.kid: "active", other.kid: "active"}
        assert len(list(store.accounts.audit_records())) == 2

    def test_the_life_of_a_key(self, store):
        old, new = key(), key()
        store.keys.ensure_active(old, "test", NOW)
        assert store.keys.add(new, "test", NOW + 1).state is State.STAGED
        store.keys.activate(new.kid, "test", NOW + 2)
        assert states(store) == {old.kid: "retired", new.kid: "active"}
        assert [each.kid for each in store.keys.ring()] == [old.kid, new.kid]
        assert (store.keys.get(old.kid).retired_at, store.keys.get(new.kid).activated_at) == (NOW + 2, NOW + 2)

    def test_a_key_is_found_by_a_start_that_fits_only_one(self, store):
        made = key()
        store.keys.add(made, "test", NOW)
        assert store.keys.get(made.kid[:10]).kid == made.kid
        for wrong in ("", "?", made.kid + "x"):
            with pytest.raises(NotFound):
                store.keys.get(wrong)

    @pytest.mark.parametrize("verb", ["activate", "retire", "remove", "compromise"])
    def test_an_unknown_key_is_not_found_and_an_illegal_move_is_a_conflict(self, store, verb):
        more = (None,) if verb == "compromise" else ()
        with pytest.raises(NotFound):
            getattr(store.keys, verb)("unknown", "test", NOW, *more)
        made = key()
        store.keys.add(made, "test", NOW)
        store.keys.compromise(made.kid, "test", NOW, None)
        with pytest.raises(Conflict):
            getattr(store.keys, verb)(made.kid, "test", NOW, *more)
        assert len(list(store.accounts.audit_records())) == 2

    def test_the_same_key_twice_is_a_conflict(self, store):
        made = key()
        store.keys.add(made, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.add(made, "test", NOW)

    def test_an_algorithm_in_use_is_never_left_without_a_key(self, store):
        used, unused = key(), key("EdDSA")
        store.keys.ensure_active(used, "test", NOW)
        store.keys.ensure_active(unused, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.retire(used.kid, "test", NOW)
        with pytest.raises(Conflict):
            store.keys.compromise(used.kid, "test", NOW, None)
        with pytest.raises(Conflict):
            store.keys.compromise(used.kid, "test", NOW, key("EdDSA"))
        store.keys.retire(unused.kid, "test", NOW)
        assert states(store) == {used.kid: "active", unused.kid: "retired"}
        staged = key()
        store.keys.add(staged, "test", NOW)
        store.keys.retire(used.kid, "test", NOW)
        assert states(store)[staged.kid] == "active"

    def test_an_algorithm_one_api_asks_for_is_in_use(self, store):
        mine = key("EdDSA")
        store.keys.ensure_active(key(), "test", NOW)
        store.keys.ensure_active(mine, "test", NOW)
        server = api(store, token_alg="EdDSA")
        with pytest.raises(Conflict):
            store.keys.retire(mine.kid, "test", NOW)
        with change(store) as tx:
            tx.update_resource_server(server.id, disabled_at=NOW)
        store.keys.retire(mine.kid, "test", NOW)

    def test_a_compromised_key_is_replaced_in_the_same_breath(self, store):
        first, staged, spare = key(), key(), key()
        store.keys.ensure_active(first, "test", NOW)
        store.keys.add(staged, "test", NOW + 1)
        store.keys.compromise(first.kid, "test", NOW + 2, spare)
        assert states(store) == {first.kid: "compromised", staged.kid: "active"}
        store.keys.compromise(staged.kid, "test", NOW + 3, spare)
        assert states(store)[spare.kid] == "active"
        assert kills(store) == [("key", first.kid, 0), ("key", staged.kid, 0)]

    def test_a_staged_or_retired_key_may_be_compromised_without_a_turn(self, store):
        old, active, staged = key(), key(), key()
        store.keys.ensure_active(old, "test", NOW)
        store.keys.rotate("ES256", active, "test", NOW)
        store.keys.add(staged, "test", NOW)
        store.keys.compromise(staged.kid, "test", NOW, key())
        store.keys.compromise(old.kid, "test", NOW, key())
        assert states(store) == {old.kid: "compromised", active.kid: "active", staged.kid: "compromised"}

    def test_rotation_prefers_the_oldest_staged_key(self, store):
        first, older, newer, spare = key(), key(), key(), key()
        store.keys.ensure_active(first, "test", NOW)
        store.keys.add(older, "test", NOW + 1)
        store.keys.add(newer, "test", NOW + 2)
        turns = [store.keys.rotate("ES256", spare, "test", NOW + 3 + each) for each in range(3)]
        assert turns == [older.kid, newer.kid, spare.kid]
        assert list(states(store).values()).count("active") == 1

    def test_a_key_stays_published_while_a_token_it_signed_may_live(self, store):
        """INV-14; also when the maximum lifetime was longer once."""
        old = key()
        store.keys.ensure_active(old, "test", NOW)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "1000", **WHO)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "10", **WHO)
        store.keys.rotate("ES256", key(), "test", NOW + 5)
        general_settings.set_general(store.accounts, "max_token_lifetime_minutes", "2000", **WHO)
        with pytest.raises(Conflict):
            store.keys.remove(old.kid, "test", NOW + 5 + 60_000 + SKEW - 1)
        store.keys.remove(old.kid, "test", NOW + 5 + 60_000 + SKEW)
        assert states(store)[old.kid] == "removed"

    def test_of_two_equal_activations_one_wins(self, nodes):
        staged = key()
        nodes[0].keys.ensure_active(key(), "test", NOW)
        nodes[0].keys.add(staged, "test", NOW)
        results = at_once(*(lambda s=s: s.keys.activate(staged.kid, "test", NOW) for s in nodes * 2))
        assert winners(results) == 1
        assert sorted(states(nodes[1]).values()) == ["active", "retired"]

    def test_after_any_race_one_key_signs(self, nodes):
        """INV-13, INV-16."""
        first, staged = key(), key()
        nodes[0].keys.ensure_active(first, "test", NOW)
        nodes[0].keys.add(staged, "test", NOW)
        one, other = nodes[0].keys, nodes[1].keys
        results = at_once(
            lambda: one.rotate("ES256", key(), "test", NOW),
            lambda: other.activate(staged.kid, "test", NOW),
            lambda: one.compromise(first.kid, "test", NOW, key()),
            lambda: other.retire(first.kid, "test", NOW),
            lambda: other.rotate("ES256", key(), "test", NOW),
        )
        assert winners(results) >= 3
        assert list(states(nodes[1]).values()).count("active") == 1
        assert states(nodes[0])[first.kid] == "compromised"

    def test_the_database_itself_refuses_a_second_active_key(self, database):
        store = database.open()
        store.keys.ensure_active(key(), "test", NOW)
        store.keys.add(key(), "test", NOW)
        with pytest.raises(Exception, match=r"(?i)unique"):
            database.execute("UPDATE signing_keys SET state = 'active'")

    def test_the_private_part_ends_with_the_turn(self, nodes):
        """INV-17; and a node that had it in memory is told another kid by every fact it reads."""
        seed(nodes[0])
        api(nodes[0])
        first, second = key(), key()
        nodes[0].keys.ensure_active(first, "test", NOW)
        client_id = credential(nodes[0]).client_id
        alg, sign = nodes[1].keys.signer(first.kid)
        assert alg == "ES256"
        assert len(sign(b"data")) == 64
        nodes[0].keys.rotate("ES256", second, "test", NOW)
        with pytest.raises(Unavailable):
            nodes[0].keys.signer(first.kid)
        assert nodes[1].hot_path.issue_facts(client_id, None).active_kid == second.kid
        assert set(nodes[1].keys.public()) == {first.kid, second.kid}
        assert set(nodes[1].keys.public(first.kid)) == {first.kid}


class TestOpening:
    def test_a_database_is_furnished_once(self, database):
        stores = at_once(*(database.open for _ in range(8)))
        assert len({store.pepper for store in stores}) == 1
        assert database.scalar("SELECT count(*) FROM settings") == 1
        assert database.scalar("SELECT count(*) FROM vault") == 2
        assert stores[0].accounts.audit_verify().first_bad is None


class TestConnections:
    @pytest.mark.parametrize("database", ["postgresql"], indirect=True)
    def test_a_connection_the_server_ended_is_replaced(self, database):
        """F-11."""
        store = database.open()
        seed(store)
        client_id = credential(store).client_id
        assert store.hot_path.issue_facts(client_id, None)
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608 - a constant
        assert store.hot_path.issue_facts(client_id, None)
        assert store.accounts.users()
        user_actions.disable(store.accounts, "bob", **WHO)

    def test_a_held_connection_ends_with_its_thread(self, database):
        store = database.open()
        for _ in range(30):
            thread = threading.Thread(target=store.hot_path.issue_facts, args=("nobody", None))
            thread.start()
            join(thread)
        assert len(store.thread_connections) <= 1
        if database.kind == "postgresql":
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            until(lambda: database.scalar(query) < 10)

    def test_a_statement_that_takes_too_long_is_given_up_once(self, database, monkeypatch):
        """F-06, F-13: a bounded wait, then "cannot tell", never "inactive" (INV-25)."""
        monkeypatch.setattr(engine_file, "BUSY_SECONDS", 1)
        monkeypatch.setattr(engine_file, "STATEMENT_SECONDS", 1)
        store = database.open()
        seed(store)
        store.hot_path.issue_facts("nobody", None)
        with locked(database):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                user_actions.disable(store.accounts, "bob", **WHO)
            with pytest.raises(Unavailable):
                store.sessions.end(start(), Reason.EXPIRED, NOW)
            assert time.monotonic() - began < 10
        user_actions.disable(store.accounts, "bob", **WHO)

    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)
    def test_a_full_disk_refuses_changes_and_goes_on_reading(self, database):
        """F-04."""
        store = database.open()
        seed(store)

        @event.listens_for(store.engine, "checkout")
        def _full(connection, *_rest):
            connection.execute("PRAGMA max_page_count = 1")

        with pytest.raises(Unavailable):
            for number in range(500):
                role_actions.create_role(store.accounts, f"role{number}", "operational", (), **WHO)
        assert store.accounts.user("ada").username == "ada"
        assert store.accounts.audit_verify().first_bad is None

    def test_a_database_that_cannot_be_written_is_unavailable_for_changes(self, own_database):
        database = own_database
        store = database.open()
        seed(store)
        if database.kind == "postgresql":
            database.execute(
                f'ALTER DATABASE "{make_url(database.url).database}" SET default_transaction_read_only = on'
            )
            databases.close_idle(database.url)
        reader = Database(database.url)
        only = reader.open()
        if database.kind == "sqlite":
            event.listen(
                only.engine, "checkout", lambda connection, *_rest: connection.execute("PRAGMA query_only = 1")
            )
        try:
            assert only.accounts.user("ada").username == "ada"
            with pytest.raises(Unavailable):
                user_actions.disable(only.accounts, "bob", **WHO)
        finally:
            reader.close()

    def test_a_child_process_leaves_the_parents_connections_alone(self, database):
        script = textwrap.dedent(
            """
            import os, sys
            from tests.support.deadlines import wait_child
            from tests.support.stores import Database, start, NOW, uses
            use = {"by": "rs1", "method": "GET", "route": "/"}
            database = Database(sys.argv[1])
            store = database.open()
            store.hot_path.issue_facts("nobody", None)
            store.accounts.ping()
            store.usage.used(start(), NOW, **use)
            child = os.fork()
            store.hot_path.issue_facts("nobody", None)
            store.accounts.ping()
            store.usage.used(start(), NOW, **use)
            if child == 0:
                store.close()
                os._exit(0)
            assert wait_child(child, "closing the store in a child") == 0
            store.hot_path.issue_facts("nobody", None)
            store.accounts.ping()
            store.usage.flush()
            assert uses(store) == {("c1", "GET", "/"): 3}, uses(store)
            database.close()
            """
        )
        done = subprocess.run(
            [sys.executable, "-c", script, database.url], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr

    def test_a_held_connection_is_not_closed_under_a_statement(self, database):
        store = database.open()
        slow = {
            "postgresql": "SELECT 7 FROM pg_sleep(1)",
            "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4000000)"
            " SELECT 7 FROM n WHERE x = 4000000",
        }[database.kind]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(store.thread_connections.run, slow, [])
            time.sleep(0.3)
            store.thread_connections.close()
            assert asked.result(30) == ([(7,)], 1 if database.kind == "postgresql" else -1)

    def test_a_held_connection_reads_no_text_in_part(self, database):
        """What stands behind a NUL counts, or nothing does (INV-28)."""
        store = database.open()
        seed(store)
        client_id = credential(store).client_id
        assert store.hot_path.issue_facts(client_id, None)
        assert outcome(lambda: store.hot_path.issue_facts(f"{client_id}\0", None)) in {None, "Invalid"}

    @pytest.mark.parametrize("text", ["\x00", "\ud800"])
    def test_a_text_no_database_can_hold_is_the_callers_fault(self, database, text):
        """INV-28: never a 5xx."""
        store = database.open()
        made = Credential("c9", "ada", "usr_1", text, (), NOW, NOW, None, None, 1)
        with pytest.raises(Refusal), change(store) as tx:
            tx.insert_user(User("usr_1", f"ada{text}", (), 1, None, NOW), None)
            tx.insert_credential(made, [])
            tx.insert_secret("c9", SecretRecord("s9", text, NOW, None, None), b"h")
            raise NotFound  # SQLite can hold a NUL


def outcome(act):
    """What a call gave: a plain value, or the kind of refusal."""
    try:
        return act()
    except Refusal as error:
        return type(error).__name__


class TestAgreesWithTheModel:
    """The same random calls on all three; the answers and all that can be read afterwards are the same."""

    @pytest.mark.parametrize("seed", range(3))
    def test_random_calls(self, database, seed, monkeypatch):
        from tests.support.stores import Model

        dice = random.Random(seed)
        places = [Model(), database]
        stores = [place.open() for place in places]
        pool = [key(alg) for alg in ("ES256", "EdDSA") for _ in range(6)]
        sessions = [start(f"c{number % 2}") for number in range(8)]
        ids = iter(range(10**6))
        performed = set()

        def one_step(step):
            now, n = NOW + step * 60, next(ids)
            who = {"actor": "test", "now": now}
            name = dice.choice(["ada", "bob", "EVE", "nobody"])
            role, other = dice.choice("abcd"), dice.choice("abcd")
            session, some = dice.choice(sessions), dice.choice(pool)
            reason, at = dice.choice(list(Reason)), now - dice.randrange(0, 200)
            client = f"cred{dice.randrange(4)}"
            clients = [f"cred{number}" for number in range(4)]
            overlap = dice.choice([0, 3600])
            minutes = dice.choice(["10", "720", "2000"])

            def make_credential(s, client=client, name=name, n=n, now=now):
                with change(s, "credential.created", client, now) as tx:
                    owner = tx.user(name)
                    fresh = Credential(
                        client, owner.username, owner.id, "bot", owner.role_names, now + DAY, now, None, None, 1
                    )
                    if client in {each.client_id for each in s.accounts.credentials()}:
                        raise Conflict(client)
                    tx.insert_credential(fresh, [each.id for each in owner.roles])
                    tx.insert_secret(client, SecretRecord(f"sec{n}", "acs_1234", now, None, None), b"h%d" % n)

            def regenerate(s, client=client, n=n, now=now, overlap=overlap):
                with change(s, "credential.regenerated", client, now) as tx:
                    tx.credential(client)
                    tx.end_secrets(client, now + overlap, now)
                    tx.insert_secret(client, SecretRecord(f"sec{n}", "acs_1234", now, None, None), b"h%d" % n)

            def make_user(s, name=name, role=role, n=n, now=now):
                with change(s, "user.created", name, now) as tx:
                    tx.insert_user(User(f"usr{n}", name, (tx.role(role),), 1, None, now), None)

            def make_role(s, role=role, n=n, now=now):
                with change(s, "role.created", role, now) as tx:
                    tx.insert_role(Role(f"rol{n}", role, "operational"), now)

            acts = {
                "make role": make_role,
                "make user": make_user,
                "grant": lambda s: user_actions.grant(s.accounts, name, role, **who),
                "revoke": lambda s: user_actions.revoke(s.accounts, name, role, **who),
                "delete role": lambda s: role_actions.delete_role(s.accounts, role, **who) if dice_low else None,
                "disable": lambda s: user_actions.disable(s.accounts, name, **who),
                "enable": lambda s: user_actions.enable(s.accounts, name, **who),
                "make credential": make_credential,
                "regenerate": regenerate,
                "move old secret": lambda s: credentials.move_old_secret(s.accounts, client, overlap, **who),
                "credential off": lambda s: credentials.disable(s.accounts, client, **who),
                "credential on": lambda s: credentials.enable(s.accounts, client, **who),
                "issued": lambda s: s.usage.issued(session),
                "used": lambda s: s.usage.used(session, at, by="rs1", method="GET", route=f"/{role}"),
                "flush": lambda s: s.usage.flush(),
                "end": lambda s: s.sessions.end(session, reason, now),
                "end known": lambda s: (s.usage.flush(), s.sessions.end_known(session.jti, reason, now))[1],
                "add key": lambda s: s.keys.add(some, "test", now).kid,
                "ensure key": lambda s: s.keys.ensure_active(some, "test", now),
                "activate": lambda s: s.keys.activate(some.kid, "test", now),
                "retire": lambda s: s.keys.retire(some.kid, "test", now),
                "rotate": lambda s: s.keys.rotate(some.alg, some, "test", now),
                "compromise": lambda s: s.keys.compromise(some.kid, "test", now, None),
                "remove": lambda s: s.keys.remove(some.kid, "test", now),
                "settings": lambda s: general_settings.set_general(
                    s.accounts, "max_token_lifetime_minutes", minutes, **who
                ),
                "facts": lambda s: s.hot_path.issue_facts(client, None),
            }
            dice_low = dice.random() < 0.3
            verb = dice.choice(list(acts))
            results = [outcome(lambda s=s: acts[verb](s)) for s in stores]
            assert results[0] == results[1], (step, verb, other)
            if not isinstance(results[0], str):
                performed.add(verb)
            for s in stores:
                s.usage.flush()
            views = [
                (
                    s.accounts.users(),
                    s.accounts.roles(),
                    s.accounts.credentials(),
                    s.accounts.general(),
                    s.keys.ring(),
                    kills(s),
                    uses(s),
                    [s.sessions.of_credential(f"c{number}") for number in range(2)],
                    [(r.seq, r.event, r.target, r.detail) for r in s.accounts.audit_records()],
                    [s.hot_path.issue_facts(each, None) for each in clients],
                )
                if step % 10 == 0
                else None
                for s in stores
            ]
            assert views[0] == views[1], (step, verb)

        for step in range(250):
            one_step(step)
        assert len(performed) >= 15, f"too tame a run: {sorted(performed)}"
        assert all(s.accounts.audit_verify().first_bad is None for s in stores)
