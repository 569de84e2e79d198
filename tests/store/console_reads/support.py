"""Credentials and uses of the console's reads."""

from hypothesis import strategies as st

from authserver.actions import credentials
from authserver.actions import sessions as session_actions
from tests.support.stores import DAY, NOW, start

PEPPER = b"p" * 32
WHO = {"actor": "test", "now": NOW}
API = "https://api.example.com"


def make(store, owner="ada", name="bot", days=90, roles=("reader", "writer"), *, now=NOW, **more):
    made = credentials.create(
        store.accounts, owner, name, now + days * DAY, roles, pepper=PEPPER, actor="test", now=now, **more
    )
    return made.credential


def began(credential, at=NOW, **more):
    """A session as a token request of this credential begins it."""
    facts = {"secret_id": credential.secrets[0].id} if credential.secrets else {}
    return start(credential.client_id, at=at, **facts, **more)


def issue(store, client_id, at=NOW, *, peer="192.0.2.7", agent="curl/8", **more):
    credential = store.accounts.credential(client_id)
    key = next(key for key in store.keys.ring() if key.state == "active")
    session = began(credential, at, kid=key.kid, credential_version=credential.version, **more)
    store.usage.issued(session, peer=peer, agent=agent)
    return session


def names(page):
    return [row.name for row in page.rows]


roles = st.frozensets(st.sampled_from(["a", "b", "c"]))


def look(store, client_id):
    return [
        each
        for each in session_actions.inspect_sessions(store.accounts, store.sessions, store.hot_path, client_id)
        if each.live
    ]


def walked(store, query, limit):
    """All records a query finds, page by page."""
    found, after = [], None
    for _ in range(1000):
        page = store.audit_reads.audit_page(query, limit, after)
        found += page.records
        if page.after is None:
            return found
        after = page.after
    raise AssertionError(query)
