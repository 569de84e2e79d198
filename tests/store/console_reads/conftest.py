"""The databases of the console's reads."""

import pytest

from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.rules.facts import Reason
from keys.material import make as new_key
from tests.store.console_reads.support import WHO, issue, make
from tests.support.stores import MASTER, NOW, fresh, start


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    made = fresh(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(database):
    found = database.open()
    for name, kind in (("reader", "operational"), ("writer", "operational"), ("builder", "builder")):
        role_actions.create_role(found.accounts, name, kind, (), **WHO)
    user_actions.create_user(found.accounts, "ada", ["reader", "writer", "builder"], **WHO)
    user_actions.create_user(found.accounts, "bob", ["reader"], **WHO)
    found.keys.ensure_active(new_key("ES256", MASTER), "test", NOW)
    return found


@pytest.fixture
def seeded(store, database):
    """Three credentials with tokens in every state of life."""
    both, one = make(store, "ada", "both"), make(store, "ada", "one", roles=["reader"])
    hers = make(store, "bob", "hers", roles=["reader"])
    for credential, number in ((both, 3), (one, 2), (hers, 4)):
        for _ in range(number):
            issue(store, credential.client_id)
    for dead in (
        {"role_version": 0},
        {"epoch": 0},
        {"lasts": 0},
        {"at": NOW - 1800},
        {"at": NOW + 6},
        {"secret_id": "sec_other"},
        {"credential_version": 7},
    ):
        credential = store.accounts.credential(both.client_id)
        key = next(key for key in store.keys.ring() if key.state == "active")
        facts = {"kid": key.kid, "secret_id": credential.secrets[0].id, "credential_version": 1, **dead}
        session = start(both.client_id, **facts)
        store.usage.issued(session)
    ended = issue(store, both.client_id)
    store.sessions.end(ended, Reason.REVOKED, NOW)
    store.usage.flush()
    return both, one, hers
