"""Users, roles, settings and sessions."""

import pytest

from authserver.actions import credentials, general_settings
from authserver.actions import roles as role_actions
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.ports.console_reads.users import UserQuery
from authserver.ports.errors import NotFound
from authserver.rules.facts import Reason
from tests.store.console_reads.support import PEPPER, WHO, issue, look, make
from tests.support.stores import NOW, Statements


def test_users_are_listed_searched_and_paged(store):
    make(store, "ada")
    deleted = make(store, "ada")
    credentials.delete(store.accounts, deleted.client_id, **WHO)
    user_actions.create_user(store.accounts, "Adam", ["writer"], **WHO)
    user_actions.disable(store.accounts, "Adam", **WHO)
    page = store.user_reads.users_page(UserQuery(search="AD"))
    assert [(row.user.username, row.credentials) for row in page.rows] == [("ada", 1), ("Adam", 0)]
    assert page.rows[0].user == store.accounts.user("ada")

    def found(**query):
        return [row.user.username for row in store.user_reads.users_page(UserQuery(**query)).rows]

    assert found(role="reader") == ["ada", "bob"]
    assert found(disabled=True) == ["Adam"]
    assert found(disabled=False, size=1, page=2) == ["bob"]
    assert found(search="\x00") == found(role="\x00") == []


def test_roles_are_listed_with_their_holders(store):
    make(store, "ada", roles=["reader"])
    role_actions.create_role(store.accounts, "unused", "builder", ["users:manage"], **WHO)
    role_actions.create_role(store.accounts, "spare", "operational", (), **WHO)
    values = {row.role.name: (row.holders, row.credentials) for row in store.user_reads.role_rows()}
    assert values == {"builder": (1, 0), "reader": (2, 1), "spare": (0, 0), "unused": (0, 0), "writer": (1, 0)}
    for name in ("ada", "bob"):
        user_actions.grant(store.accounts, name, "spare", **WHO)
    role_actions.delete_role(store.accounts, "reader", **WHO)
    assert "reader" not in {row.role.name for row in store.user_reads.role_rows()}


def test_settings_are_told_with_who_changed_them_and_when(store):
    for value, at in (("15", NOW + 1), ("20", NOW + 2)):
        general_settings.set_general(store.accounts, "idle_timeout_minutes", value, actor="usr_1", now=at)
    rows = {row.name: row for row in store.audit_reads.setting_rows()}
    assert rows["idle_timeout_minutes"].value == 20
    assert (rows["idle_timeout_minutes"].changed_by, rows["idle_timeout_minutes"].changed_at) == ("usr_1", NOW + 2)
    assert (rows["token_alg"].value, rows["token_alg"].changed_by) == ("ES256", None)
    assert "epoch" not in rows
    history = store.audit_reads.setting_history("idle_timeout_minutes")
    assert [(row.before, row.value) for row in history] == [(15, 20), (30, 15)]
    assert store.audit_reads.setting_history("\x00") == ()


def test_a_session_is_ended_by_its_owner_alone(store, seeded):
    both, _, hers = seeded
    mine, theirs = look(store, both.client_id)[0].session.jti, look(store, hers.client_id)[0].session.jti
    results = []
    for jti in (theirs, "jti-unknown", "\x00"):
        with pytest.raises(NotFound) as refused:
            session_actions.end(store.accounts, jti, Reason.ENDED_BY_OWNER, owner_id=both.owner_id, **WHO)
        results.append(str(refused.value).replace(repr(jti), "JTI"))
    assert len(set(results)) == 1
    session_actions.end(store.accounts, mine, Reason.ENDED_BY_OWNER, owner_id=both.owner_id, **WHO)
    assert len(look(store, both.client_id)) == 2
    assert len(look(store, hers.client_id)) == 4
    with pytest.raises(NotFound):
        session_actions.end_all(store.accounts, hers.client_id, Reason.ENDED_BY_OWNER, owner_id=both.owner_id, **WHO)


@pytest.mark.parametrize(
    "verb",
    ["edit", "regenerate", "move_old_secret", "disable", "enable", "delete", "end_all", "look", "timeline"],
)
def test_every_verb_takes_a_foreign_credential_for_an_unknown_one(store, verb):
    hers, me = make(store, "bob", roles=["reader"]), store.accounts.user("ada").id
    known, records = hers.client_id, store.audit_reads.chain_status().records
    verbs = {
        "edit": lambda id_: credentials.edit(store.accounts, id_, name="x", owner_id=me, **WHO),
        "regenerate": lambda id_: credentials.regenerate(store.accounts, id_, 0, pepper=PEPPER, owner_id=me, **WHO),
        "move_old_secret": lambda id_: credentials.move_old_secret(store.accounts, id_, 0, owner_id=me, **WHO),
        "disable": lambda id_: credentials.disable(store.accounts, id_, owner_id=me, **WHO),
        "enable": lambda id_: credentials.enable(store.accounts, id_, owner_id=me, **WHO),
        "delete": lambda id_: credentials.delete(store.accounts, id_, owner_id=me, **WHO),
        "end_all": lambda id_: session_actions.end_all(store.accounts, id_, Reason.ENDED_BY_OWNER, owner_id=me, **WHO),
        "look": lambda id_: session_actions.inspect_sessions(
            store.accounts, store.sessions, store.hot_path, id_, owner_id=me
        ),
        "timeline": lambda id_: store.audit_reads.timeline(id_, owner_id=me),
    }
    results = []
    for client_id in (known, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound) as refused:
            verbs[verb](client_id)
        results.append(str(refused.value).replace(client_id, "ID"))
    assert results[0] == results[1]
    assert store.accounts.credential(known) == store.accounts.credential(known, hers.owner_id)
    assert store.audit_reads.chain_status().records == records


def test_a_limited_look_shows_what_may_live_and_what_is_newest(store, seeded):
    both, _, _ = seeded
    for number in range(5):
        ended = issue(store, both.client_id, NOW + 10 + number)
        store.sessions.end(ended, Reason.REVOKED, NOW + 20)
    found = session_actions.inspect_sessions(
        store.accounts, store.sessions, store.hot_path, both.client_id, limit=30, now=NOW
    )
    assert found == session_actions.inspect_sessions(store.accounts, store.sessions, store.hot_path, both.client_id)
    few = store.sessions.recent_of_credential(both.client_id, NOW, 3)
    assert [session.issued_at for session in few][:3] == [NOW + 14, NOW + 13, NOW + 12]
    assert sum(session.ended_at is None for session in few) == 3


def test_a_look_at_the_backlog_reads_no_whole_table(database, store):
    statements = Statements(store.engine)
    store.sessions.backlog(NOW, 0)
    selects = [sql for sql in statements.texts if sql.startswith("SELECT")]
    assert len(selects) == 2
    if database.kind == "sqlite":
        with store.engine.connect() as connection:
            for sql in selects:
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()]
                assert any(step.startswith("SEARCH sessions") for step in plan), plan
                assert not any(step.startswith("SCAN sessions") for step in plan), plan
