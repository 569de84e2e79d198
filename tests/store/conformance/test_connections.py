"""Opening a store; connections that break, hang and come back."""

import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, make_url

from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import NotFound, Refusal, Unavailable
from authserver.ports.users import User
from authserver.rules.facts import Reason
from authserver.store.engine import connections as connections_module
from tests.store.conformance.support import WHO, at_once, change, credential, locked, outcome, seed, until
from tests.support import databases
from tests.support.deadlines import join
from tests.support.stores import NOW, Database, start


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
        monkeypatch.setattr(connections_module, "BUSY_SECONDS", 1)
        monkeypatch.setattr(connections_module, "STATEMENT_SECONDS", 1)
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
