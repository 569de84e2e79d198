"""What ``ports.SignIns`` and its part of ``ports.Transaction`` promise, on both databases: one test a promise."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from authserver.actions import roles as role_actions
from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.audit import Event
from authserver.ports.errors import NotFound
from authserver.ports.sign_in import ConsoleSession, Preferences
from authserver.rules import permission
from authserver.rules import sign_in as sign_in_rules
from tests.support.stores import NOW, fresh
from tests.support.wsgi_client import BACKENDS

SESSION = ConsoleSession("cs_1", "", "password", NOW, NOW, NOW, NOW + sign_in_rules.ABSOLUTE, "192.0.2.1", "Agent")


@pytest.fixture(params=BACKENDS)
def database(request, tmp_path):
    found = fresh(request.param, tmp_path)
    yield found
    found.close()


@pytest.fixture
def store(database):
    return database.open()


@pytest.fixture
def ada(store):
    role_actions.create_role(store.accounts, "reader", "operational", (), actor="t", now=NOW)
    role_actions.create_role(store.accounts, "builder", "builder", (), actor="t", now=NOW)
    return user_actions.create_user(store.accounts, "Ada", ["reader", "builder"], actor="t", now=NOW, password_hash="h")


def change(store):
    return store.accounts.change(Event("test", "t", "t"), NOW)


def begun(store, user, handle="cs_1", id_hash="id1", pending="", **facts):
    session = replace(SESSION, user_id=user.id, handle=handle, **facts)
    with change(store) as tx:
        tx.open_console_session(session, id_hash, pending)
    return session


def test_the_password_is_found_in_any_letter_case(store, ada):
    assert store.sign_ins.password_of("aDA") == (ada, "h")
    for unknown in ("nobody", "", "\0", "\ud800"):
        assert store.sign_ins.password_of(unknown) is None


def test_a_visit_has_everything_as_it_stands_now(store, ada):
    session = begun(store, ada, pending="waiting")
    current_user = store.sign_ins.current_user("id1")
    assert (current_user.session, current_user.user, current_user.preferences, current_user.pending) == (
        session,
        ada,
        Preferences(),
        "waiting",
    )
    user_actions.disable(store.accounts, "Ada", actor="t", now=NOW)
    assert store.sign_ins.current_user("id1") is None
    assert store.sign_ins.current_user("id2") is None


def test_being_seen_never_moves_back(store, ada):
    begun(store, ada)
    for at, seen in ((NOW + 60, NOW + 60), (NOW + 30, NOW + 60), (NOW + 90, NOW + 90)):
        store.sign_ins.seen("id1", at)
        assert store.sign_ins.current_user("id1").session.last_seen_at == seen
    store.sign_ins.seen("unknown", NOW)


def test_a_new_proof_changes_the_id(store, ada):
    begun(store, ada, pending="waiting")
    assert store.sign_ins.renew("id1", "id2", NOW + 60)
    assert store.sign_ins.current_user("id1") is None
    current_user = store.sign_ins.current_user("id2")
    assert (current_user.session.proof_at, current_user.session.handle, current_user.pending) == (
        NOW + 60,
        "cs_1",
        "waiting",
    )
    assert not store.sign_ins.renew("id1", "id3", NOW + 90)


def test_of_many_new_proofs_at_once_one_wins(database, store, ada):
    begun(store, ada)
    nodes = [database.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda n: nodes[n % 4].sign_ins.renew("id1", f"fresh{n}", NOW), range(16)))
    assert won.count(True) == 1


def test_what_waits_is_replaced(store, ada):
    begun(store, ada)
    store.sign_ins.set_pending("id1", "one")
    store.sign_ins.set_pending("id1", "two")
    assert store.sign_ins.current_user("id1").pending == "two"


def test_sign_ins_are_listed_newest_first_and_end_alone_or_together(store, ada):
    for number in range(4):
        begun(store, ada, f"cs_{number}", f"id{number}", last_seen_at=NOW + number)
    assert [each.handle for each in store.sign_ins.of_user(ada.id)] == ["cs_3", "cs_2", "cs_1", "cs_0"]
    with change(store) as tx:
        assert tx.end_console_session(ada.id, "cs_3")
        assert not tx.end_console_session(ada.id, "cs_3")
        assert not tx.end_console_session("usr_other", "cs_2")
    store.sign_ins.close("id2")
    with change(store) as tx:
        assert tx.end_console_sessions(ada.id, "cs_0") == 1
    assert [each.handle for each in store.sign_ins.of_user(ada.id)] == ["cs_0"]


def test_a_new_password_ends_all_sign_ins_but_one(store, ada):
    for number in range(3):
        begun(store, ada, f"cs_{number}", f"id{number}")
    user_actions.set_password(store.accounts, "ada", "h2", actor="t", now=NOW, keep="cs_1")
    assert [each.handle for each in store.sign_ins.of_user(ada.id)] == ["cs_1"]
    user_actions.set_password(store.accounts, "ada", "h3", actor="t", now=NOW)
    assert store.sign_ins.of_user(ada.id) == ()
    assert store.sign_ins.password_of("ada")[1] == "h3"


def test_preferences_are_kept_also_from_many_tabs_at_once(database, store, ada):
    begun(store, ada)
    nodes = [database.open() for _ in range(4)]
    many = [Preferences("de", "Europe/Berlin", "dark", shortcuts=False), Preferences("en", "", "light")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: nodes[n % 4].sign_ins.set_preferences(ada.id, many[n % 2]), range(16)))
    assert store.sign_ins.current_user("id1").preferences in many
    store.sign_ins.set_preferences(ada.id, many[0])
    assert store.sign_ins.current_user("id1").preferences == many[0]


def test_a_link_is_spent_once_on_whatever_node(database, store, ada):
    with change(store) as tx:
        tx.insert_login_link(ada, "link", NOW, NOW + 60)
    assert store.sign_ins.link_owner("link", NOW + 59) == ada
    assert store.sign_ins.link_owner("link", NOW + 60) is None
    nodes = [database.open() for _ in range(4)]

    def spend(number):
        try:
            with nodes[number % 4].accounts.change(Event("test", "t", "t"), NOW) as tx:
                return tx.consume_login_link("link", NOW) == ada
        except NotFound:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(spend, range(64))).count(True) == 1
    assert store.sign_ins.link_owner("link", NOW) is None


def test_a_change_that_fails_spends_nothing(store, ada):
    with change(store) as tx:
        tx.insert_login_link(ada, "link", NOW, NOW + 60)
    with pytest.raises(RuntimeError), change(store) as tx:
        tx.consume_login_link("link", NOW)
        raise RuntimeError
    assert store.sign_ins.link_owner("link", NOW) == ada


@pytest.mark.parametrize("late", [60, 61])
def test_a_link_that_is_over_is_not_spent(store, ada, late):
    with change(store) as tx:
        tx.insert_login_link(ada, "link", NOW, NOW + 60)
    with pytest.raises(NotFound), change(store) as tx:
        tx.consume_login_link("link", NOW + late)


def test_what_is_long_over_is_forgotten(store, ada):
    begun(store, ada, "cs_old", "old", last_seen_at=NOW - 10)
    begun(store, ada, "cs_new", "new")
    with change(store) as tx:
        tx.insert_login_link(ada, "link", NOW - 100, NOW - 10)
        tx.insert_login_link(ada, "later", NOW - 100, NOW)
    assert store.sign_ins.sweep(NOW) == 2
    assert [each.handle for each in store.sign_ins.of_user(ada.id)] == ["cs_new"]


# --- the rules they stand on --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "seen", "ends", "out"),
    [
        (1799, 0, 10_000, False),
        (1800, 0, 10_000, True),
        (9_999, 9_000, 10_000, False),
        (10_000, 9_999, 10_000, True),
    ],
)
def test_signed_out(now, seen, ends, out):
    assert sign_in_rules.signed_out(now, seen, ends) is out


def test_a_proof_is_good_for_its_span_and_no_longer():
    assert not sign_in_rules.proof_too_old(NOW + 599, NOW, sign_in_rules.RECENT)
    assert sign_in_rules.proof_too_old(NOW + 600, NOW, sign_in_rules.RECENT)


def test_only_a_builder_role_opens_the_console():
    assert permission.may_enter(["operational", "builder"])
    assert not permission.may_enter(["operational"])
    assert not permission.may_enter([])


def test_whoever_may_not_enter_has_no_session_any_more(store, ada):
    signed = sign_in_actions.begin(store.accounts, ada, method="password", peer="p" * 99, agent="a\nb" * 200, now=NOW)
    assert len(signed.session.peer) == 64
    assert signed.session.agent.isprintable()
    assert sign_in_actions.session_state(store.sign_ins, signed.id, NOW).current_user.user == ada
    user_actions.revoke(store.accounts, "ada", "builder", actor="t", now=NOW)
    assert sign_in_actions.session_state(store.sign_ins, signed.id, NOW) == sign_in_actions.SessionState()
    user_actions.grant(store.accounts, "ada", "builder", actor="t", now=NOW)
    assert sign_in_actions.session_state(store.sign_ins, signed.id, NOW) == sign_in_actions.SessionState()
