"""The migration that made the console's columns."""

import pytest

from app import create_app
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.store import tables
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.schema import MIGRATIONS
from tests.store.console_reads.support import WHO, began, make
from tests.support.stores import MASTER_TEXT, NOW


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_step_goes_up_and_down_and_keeps_what_was_there(kind, tmp_path):
    from tests.support import databases
    from tests.support.stores import Database

    url = databases.fresh_sqlite_url(tmp_path) if kind == "sqlite" else databases.fresh_postgres_url()
    app = create_app(Config(database_url=url, master_key=MASTER_TEXT, issuer="http://127.0.0.1:8000"))
    database = Database(url)
    try:
        with app.app_context():
            upkeep = Maintenance(tables.db.engine, MIGRATIONS)
            upkeep.upgrade()
            store = database.open()
            role_actions.create_role(store.accounts, "reader", "operational", (), **WHO)
            user_actions.create_user(store.accounts, "ada", ["reader"], **WHO)
            made = make(store, roles=["reader"])
            store.usage.issued(began(made) if made.secrets else began(store.accounts.credential(made.client_id)))
            store.usage.flush()
            store.close()
            upkeep.downgrade("0001")
            database.execute("UPDATE secrets SET last_used_at = 1700000000")
            upkeep.upgrade()
            assert upkeep.differences() == ()
            tables.db.engine.dispose()
        again = database.open()
        assert again.accounts.general().max_credentials_per_user == 50
        row = again.credential_reads.row(made.client_id, NOW)
        assert (row.last_used_at, row.requested_peer) == (1700000000, None)
        assert again.accounts.audit_verify().first_bad is None
    finally:
        database.close()
        if kind == "postgresql":
            databases.drop(url)
