"""What pages ask of the store, on both databases, against plain expectations of the same world."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from app import create_app
from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import sessions as session_actions
from authserver.actions import users as user_actions
from authserver.audit import Event
from authserver.config import Config
from authserver.ports.console_reads.audit import AuditPlace, AuditQuery
from authserver.ports.console_reads.credentials import SPARK_DAYS, CredentialQuery
from authserver.ports.console_reads.users import UserQuery
from authserver.ports.errors import AlreadyDone, Conflict, Invalid, NotFound, Unavailable
from authserver.rules.credential_status import EXPIRING_WITHIN, Status, StatusFacts, rotation_end, statuses
from authserver.rules.facts import Reason
from authserver.store import tables
from authserver.store.audit import reads as audit_reads_file
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.schema import MIGRATIONS
from authserver.store.tokens import usage_buffer as activity_file
from keys.material import make as new_key
from tests.support.stores import DAY, MASTER, MASTER_TEXT, NOW, Statements, fresh, start

PEPPER = b"p" * 32
WHO = {"actor": "test", "now": NOW}
API = "https://api.example.com"


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


# --- the rule ---------------------------------------------------------------------------------------

roles = st.frozensets(st.sampled_from(["a", "b", "c"]))
facts_of = st.builds(
    StatusFacts,
    disabled=st.booleans(),
    owner_disabled=st.booleans(),
    expires_at=st.integers(NOW - 2, NOW + EXPIRING_WITHIN + 2),
    chosen=roles,
    held=roles,
    secret_ends=st.lists(st.none() | st.integers(NOW - 2, NOW + 2), max_size=3).map(tuple),
)


@given(facts_of)
def test_statuses_are_never_empty_never_twice_and_most_urgent_first(facts):
    found = statuses(facts, NOW)
    assert found == tuple(status for status in Status if status in found)
    assert (Status.ACTIVE in found) == (found == (Status.ACTIVE,))


@given(facts_of)
def test_each_status_holds_for_its_own_reason(facts):
    found = set(statuses(facts, NOW))
    assert (Status.DISABLED in found) == (facts.disabled or facts.owner_disabled)
    assert (Status.EXPIRED in found) == (facts.expires_at <= NOW)
    assert (Status.EXPIRING in found) == (NOW < facts.expires_at <= NOW + 14 * DAY)
    assert (Status.ROTATING in found) == any(end is not None and end > NOW for end in facts.secret_ends)
    assert (Status.REDUCED in found) == bool(facts.chosen - facts.held)


@given(facts_of, st.integers(0, 3 * EXPIRING_WITHIN))
def test_time_alone_never_brings_back_what_expired(facts, later):
    if Status.EXPIRED in statuses(facts, NOW):
        assert Status.EXPIRED in statuses(facts, NOW + later)


def test_a_rotation_ends_with_its_last_secret():
    assert rotation_end([None, NOW + 5, NOW + 9, NOW], NOW) == NOW + 9
    assert rotation_end([None, NOW], NOW) is None


# --- the list ----------------------------------------------------------------------------------------


def test_a_list_shows_only_its_owners_credentials_and_a_foreign_id_is_an_unknown_one(store):
    mine, hers = make(store, "ada", "mine"), make(store, "bob", "hers", roles=["reader"])
    ada = store.accounts.user("ada").id
    assert names(store.credential_reads.page(CredentialQuery(), NOW, owner_id=ada)) == ["mine"]
    assert store.credential_reads.row(mine.client_id, NOW, owner_id=ada).owner == "ada"
    results = []
    for unknown in (hers.client_id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFound) as refused:
            store.credential_reads.row(unknown, NOW, owner_id=ada)
        results.append(str(refused.value).replace(unknown, "ID"))
    assert results[0] == results[1]


def test_the_statuses_told_in_sql_are_those_of_the_rule(store):
    dice = random.Random(7)
    for number in range(40):
        owner = dice.choice(["ada", "bob"])
        chosen = ["reader"] if owner == "bob" else dice.choice([["reader"], ["writer"], ["reader", "writer"]])
        made = make(store, owner, f"c{number}", dice.choice([1, 13, 14, 15, 90]), chosen, now=NOW - 2 * DAY)
        if dice.random() < 0.3:
            overlap = dice.choice([0, 3600, 7 * DAY])
            credentials.regenerate(store.accounts, made.client_id, overlap, pepper=PEPPER, actor="test", now=NOW - 3600)
        if dice.random() < 0.2:
            credentials.disable(store.accounts, made.client_id, **WHO)
        if dice.random() < 0.1:
            credentials.delete(store.accounts, made.client_id, **WHO)
    user_actions.revoke(store.accounts, "ada", "writer", **WHO)
    for _ in range(2):
        rows = store.credential_reads.page(CredentialQuery(size=200), NOW).rows
        counts = Counter(status for row in rows for status in row.statuses)
        assert dict(store.credential_reads.counts(NOW)) == {status: counts[status] for status in Status}
        assert counts[Status.REDUCED] > 3
        for status in Status:
            found = store.credential_reads.page(CredentialQuery(status=status, size=200), NOW)
            assert {row.client_id for row in found.rows} == {r.client_id for r in rows if status in r.statuses}
        for owner in ("ada", "bob"):
            mine = {"owner_id": store.accounts.user(owner).id}
            counts = Counter(status for row in rows if row.owner == owner for status in row.statuses)
            assert dict(store.credential_reads.counts(NOW, **mine)) == {status: counts[status] for status in Status}
            for status in Status:
                found = store.credential_reads.page(CredentialQuery(status=status), NOW, **mine)
                assert found.total == len(found.rows) == counts[status]
        if store.accounts.user("bob").disabled_at is None:
            user_actions.disable(store.accounts, "bob", **WHO)


@pytest.mark.parametrize("status", [None, Status.ACTIVE, Status.DISABLED])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_of_a_list_are_parts_of_the_whole_and_know_its_length(store, status, descending):
    made = [make(store, name=f"c{number}", now=NOW - 2 * DAY + number // 2) for number in range(9)]
    for each in made[2:6]:
        credentials.disable(store.accounts, each.client_id, **WHO)
    off = {each.client_id for each in made[2:6]}
    fits = {None: lambda _: True, Status.ACTIVE: lambda each: each not in off, Status.DISABLED: off.__contains__}[
        status
    ]
    way = -1 if descending else 1
    whole = sorted((way * each.created_at, each.client_id) for each in made if fits(each.client_id))
    walked = []
    for number in range(1, 6):
        query = CredentialQuery(status=status, descending=descending, size=2, page=number)
        page = store.credential_reads.page(query, NOW)
        assert page.total == len(whole)
        walked += [row.client_id for row in page.rows]
    assert walked == [client_id for _, client_id in whole]


def test_a_list_is_searched_sorted_and_paged(store):
    for number, name in enumerate(["Payroll", "payments 100%", "Überweisung", "night_ly", "other"]):
        make(store, name=name, days=10 + number, now=NOW + number)
    make(store, "bob", "robot", roles=["reader"])
    reads = store.credential_reads

    def found(**query):
        return names(reads.page(CredentialQuery(**query), NOW))

    assert sorted(found(search="PAY")) == ["Payroll", "payments 100%"]
    assert found(search="0%") == ["payments 100%"]
    assert found(search="t_l") == ["night_ly"]
    assert found(search="überw") == found(search="ÜBERWEISUNG") == ["Überweisung"]
    assert found(search="bob") == ["robot"]
    assert found(search="nothing") == found(search="\x00") == found(search="\ud800") == []
    first = reads.page(CredentialQuery(), NOW).rows[0]
    assert found(search=first.client_id[:13].upper()) == [first.name]
    assert len(found(search="writer")) == 5
    assert found(order="name", descending=False)[:2] == ["night_ly", "other"]
    assert found(order="expires_at", descending=True, size=1) == ["robot"]
    assert found(order="owner", descending=False, size=200)[-1] == "robot"
    pages = [reads.page(CredentialQuery(order="name", descending=False, size=4, page=page), NOW) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [4, 2, 0]
    assert {(page.total, page.pages) for page in pages} == {(6, 2)}
    far = reads.page(CredentialQuery(page=10**30, size=10**9), NOW)
    assert (far.rows, far.total) == ((), 6)


def test_a_list_costs_the_same_statements_however_long(store):
    counts = []
    for _ in range(2):
        make(store)
        statements = Statements(store.engine)
        store.credential_reads.page(CredentialQuery(), NOW)
        counts.append(len([each for each in statements.texts if each.startswith("SELECT")]))
    assert counts == [6, 6]


# --- one page, one instant ---------------------------------------------------------------------------


def test_a_page_sees_one_instant_until_it_writes(database, store):
    other = database.open()
    with store.shared_snapshot():
        assert names(store.credential_reads.page(CredentialQuery(), NOW)) == []
        make(other, name="meanwhile")
        assert names(store.credential_reads.page(CredentialQuery(), NOW)) == []
        assert store.credential_reads.counts(NOW)[Status.ACTIVE] == 0
        make(store, name="own")
        assert sorted(names(store.credential_reads.page(CredentialQuery(), NOW))) == ["meanwhile", "own"]
    assert store.credential_reads.counts(NOW)[Status.ACTIVE] == 2


def test_a_page_holds_one_connection_however_much_it_reads_and_writes(store):
    pool, begun = store.engine.pool, []
    event.listen(store.engine, "checkout", lambda *_: begun.append(pool.checkedout()))
    with store.shared_snapshot():
        store.accounts.general()
        store.accounts.users()
        make(store)
    assert max(begun) == 1
    assert len(begun) == 2
    assert pool.checkedout() == 0


def test_a_statement_that_fails_costs_a_page_no_more_than_its_answer(store):
    with store.shared_snapshot():
        with pytest.raises((Invalid, Unavailable)):
            store.credential_reads.refusals("c" * 64, 2**70)
        assert store.accounts.user("ada").username == "ada"
    assert store.engine.pool.checkedout() == 0


# --- use ---------------------------------------------------------------------------------------------


def test_a_token_request_leaves_peer_agent_and_count(store):
    made = make(store)
    issue(store, made.client_id, peer="192.0.2.1", agent="first")
    store.usage.flush()
    issue(store, made.client_id, NOW + 5, peer="2001:db8::1", agent="ag\x1bent\n" + "x" * 500)
    issue(store, made.client_id, NOW + 3, peer="192.0.2.9", agent="older")
    store.usage.flush()
    row = store.credential_reads.row(made.client_id, NOW + 10)
    assert (row.last_used_at, row.requested_at, row.requested_peer) == (NOW + 5, NOW + 5, "2001:db8::1")
    assert row.requested_agent == ("agent" + "x" * 500)[: len(row.requested_agent)]
    assert 190 < len(row.requested_agent) <= 200
    secret = row.secrets[0]
    assert (secret.last_used_at, secret.last_used_peer) == (NOW + 5, "2001:db8::1")
    assert secret.last_used_agent == row.requested_agent
    assert {s.issued_peer for s in store.sessions.of_credential(made.client_id)} == {
        "192.0.2.1",
        "192.0.2.9",
        "2001:db8::1",
    }
    assert row.days[-1].granted == 3


def test_a_secret_that_was_sent_as_the_programs_name_is_not_kept(store):
    made = make(store)
    secret = credentials.regenerate(store.accounts, made.client_id, 0, pepper=PEPPER, **WHO).secret
    for number, agent in enumerate((f"robot {secret}", "x" * 180 + secret)):
        issue(store, made.client_id, NOW + number, agent=agent)
        store.usage.flush()
        kept = store.credential_reads.row(made.client_id, NOW).requested_agent
        assert kept == agent[: agent.index(secret)] + "[secret]"


def test_each_secret_keeps_its_own_last_use(store):
    made = make(store)
    first = issue(store, made.client_id, peer="192.0.2.1")
    credentials.regenerate(
        store.accounts, made.client_id, 3600, pepper=PEPPER, actor="test", now=NOW + 1, owner_id=made.owner_id
    )
    issue(store, made.client_id, NOW + 2, peer="192.0.2.2")
    store.usage.flush()
    row = store.credential_reads.row(made.client_id, NOW + 3)
    assert [secret.last_used_peer for secret in row.secrets] == ["192.0.2.2", "192.0.2.1"]
    assert row.secrets[1].id == first.secret_id
    assert row.rotation_ends_at == NOW + 1 + 3600
    assert [secret.id for secret in store.credential_reads.secrets(made.client_id)] == [s.id for s in row.secrets]
    later = store.credential_reads.row(made.client_id, NOW + 3601)
    assert (len(later.secrets), later.rotation_ends_at) == (1, None)


def test_a_use_moves_the_last_use_of_the_credential_and_not_where_it_asked_from(store):
    made = make(store)
    session = issue(store, made.client_id)
    store.usage.used(session, NOW + 60, by="rs1", method="GET", route="/a", peer="198.51.100.1")
    store.usage.flush()
    store.usage.used(session, NOW + 90, by="rs1", method="GET", route="/a", peer="198.51.100.2")
    store.usage.used(session, NOW + 80, by="rs1", method="GET", route="/a", peer="198.51.100.3")
    store.usage.flush()
    row = store.credential_reads.row(made.client_id, NOW + 100)
    assert (row.last_used_at, row.requested_at, row.requested_peer) == (NOW + 90, NOW, "192.0.2.7")
    (kept,) = store.sessions.of_credential(made.client_id)
    assert (kept.issued_peer, kept.last_used_peer, kept.last_used_at) == ("192.0.2.7", "198.51.100.2", NOW + 90)


def test_the_peer_of_the_request_is_kept_when_another_node_wrote_the_use_first(database, store):
    other = database.open()
    made = make(store)
    session = issue(store, made.client_id)
    other.usage.used(session, NOW + 1, by="rs1", method="GET", route="/a", peer="198.51.100.1")
    other.usage.flush()
    store.usage.flush()
    (kept,) = store.sessions.of_credential(made.client_id)
    assert (kept.issued_peer, kept.last_used_peer, kept.last_used_at) == ("192.0.2.7", "198.51.100.1", NOW + 1)


def test_refusals_are_counted_by_day_and_reason_and_nobodys_are_not(store):
    made = make(store)
    today = NOW - NOW % DAY
    for at, reason, times in ((NOW, "wrong_secret", 3), (NOW, "invalid_scope", 1), (NOW - DAY, "wrong_secret", 2)):
        for _ in range(times):
            store.usage.refused(made.client_id, reason, at)
    for _ in range(5):
        store.usage.refused("", "unknown_client", 0)
    issue(store, made.client_id)
    store.usage.flush()
    row = store.credential_reads.row(made.client_id, NOW)
    assert len(row.days) == SPARK_DAYS
    assert [day.day for day in row.days] == list(range(today - 29 * DAY, today + 1, DAY))
    assert [(day.granted, day.refused) for day in row.days[-3:]] == [(0, 0), (0, 2), (1, 4)]
    assert store.credential_reads.refusals(made.client_id, today) == {
        "granted": 1,
        "invalid_scope": 1,
        "wrong_secret": 3,
    }
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM token_requests")).scalar() == 4


def test_what_waits_to_be_counted_is_bounded(store, monkeypatch):
    monkeypatch.setattr(activity_file, "MAX_REFUSALS", 2)
    for number in (1, 2, 3, 1):
        store.usage.refused(f"c{number}", "wrong_secret", NOW)
    store.usage.flush()
    assert [dict(store.credential_reads.refusals(f"c{number}", 0)) for number in (1, 2, 3)] == [
        {"wrong_secret": 2},
        {"wrong_secret": 1},
        {},
    ]


def test_the_doors_record_peer_agent_and_outcome(world):
    client_id, secret = world.client
    environ = {"REMOTE_ADDR": "127.0.0.9"}
    form = {"grant_type": "client_credentials", "client_id": client_id}
    agent = {"User-Agent": "robot/1.0"}

    def ask(**more):
        return world.http.post("/oauth/token", data={**form, **more}, headers=agent, environ_overrides=environ)

    token = ask(client_secret=secret).json["access_token"]
    assert ask(client_secret=secret, scope="nothing").status_code == 400
    assert ask(client_secret=secret, resource="https://nobody.example.com").status_code == 400
    wrong = world.credential()[1]
    assert ask(client_secret=wrong).status_code == 401
    assert ask(client_id="00000000-0000-4000-8000-000000000000", client_secret=wrong).status_code == 401
    assert ask(client_secret="acs_short").status_code == 401
    before = world.accounts.resource_servers()[0].last_asked_at
    assert not world.introspect("nonsense").json["active"]
    world.store.usage.flush()
    assert (before, world.accounts.resource_servers()[0].last_asked_at) == (None, world.clock.at)
    world.clock.at += 5
    assert world.active(token)
    world.store.usage.flush()
    row = world.store.credential_reads.row(client_id, world.clock.at)
    assert (row.requested_peer, row.requested_agent) == ("127.0.0.9", "robot/1.0")
    assert world.store.credential_reads.refusals(client_id, 0) == {
        "granted": 1,
        "invalid_scope": 1,
        "invalid_target": 1,
        "wrong_secret": 1,
    }
    assert world.accounts.resource_servers()[0].last_asked_at == world.clock.at


def test_usage_is_summed_by_server_and_by_the_ten_most_used_routes(store):
    made = make(store)
    api = resource_server_actions.register_resource_server(store.accounts, "api", API, pepper=PEPPER, **WHO).server
    session = issue(store, made.client_id)
    for number in range(12):
        for _ in range(number + 1):
            store.usage.used(session, NOW + number, by=api.id, method="GET", route=f"/r{number:02}")
    store.usage.used(session, NOW, by="gone", method="POST", route="/x")
    store.usage.flush()
    usage = store.credential_reads.usage(made.client_id, NOW - NOW % DAY)
    assert [route.route for route in usage.routes] == [f"/r{number:02}" for number in range(11, 1, -1)]
    assert usage.routes[0].uses == 12
    assert usage.routes[0].last_used_at == NOW + 11
    assert [(each.server, each.uses) for each in usage.servers] == [("api", 78), (None, 1)]
    assert usage.total == 79
    assert store.credential_reads.usage(made.client_id, NOW + DAY).total == 0


def test_a_role_is_lost_whoever_else_still_holds_it(store):
    make(store, "ada", "hers", roles=["reader"])
    make(store, "bob", "his", roles=["reader"])
    user_actions.grant(store.accounts, "bob", "writer", **WHO)
    user_actions.revoke(store.accounts, "bob", "reader", **WHO)
    reads = store.credential_reads
    assert names(reads.page(CredentialQuery(status=Status.REDUCED), NOW)) == ["his"]
    assert names(reads.page(CredentialQuery(status=Status.ACTIVE), NOW)) == ["hers"]
    assert (reads.counts(NOW)[Status.REDUCED], reads.counts(NOW)[Status.ACTIVE]) == (1, 1)


# --- inventory ---------------------------------------------------------------------------------------


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


# --- what a change would end ---------------------------------------------------------------------------


def look(store, client_id):
    return [
        each
        for each in session_actions.inspect_sessions(store.accounts, store.sessions, store.hot_path, client_id)
        if each.live
    ]


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


def test_live_tokens_are_counted_as_the_rules_judge_them(store, database, seeded):
    for each in seeded:
        assert store.credential_reads.live_tokens(each.client_id, NOW) == len(look(store, each.client_id))
    assert [store.credential_reads.live_tokens(each.client_id, NOW) for each in seeded] == [3, 2, 4]
    for at in (NOW + 1799, NOW + 1800):
        database.clock.at = at
        assert store.credential_reads.live_tokens(seeded[0].client_id, at) == len(look(store, seeded[0].client_id))


def test_live_tokens_by_key_and_audience_and_what_other_settings_would_end(store, database, seeded):
    alive = sum(len(look(store, each.client_id)) for each in seeded)
    reads = store.token_reads
    assert reads.by_audience(NOW) == {}
    for name, audience in (("api", API), ("quiet", f"{API}/quiet")):
        resource_server_actions.register_resource_server(store.accounts, name, audience, pepper=PEPPER, **WHO)
    assert sum(reads.by_key(NOW).values()) == reads.all(NOW) == alive == 9
    assert reads.by_audience(NOW) == {API: alive, f"{API}/quiet": 0}
    assert reads.by_audience(NOW, API) == {API: alive}
    for key in store.keys.ring():
        assert reads.by_key(NOW, key.kid) == {key.kid: alive}
    assert reads.ended_by(NOW) == reads.ended_by(NOW, idle_timeout_minutes=1) == 0
    database.clock.at = later = NOW + 600
    for name, low, high in (("idle_timeout_minutes", 10, 11), ("max_token_lifetime_minutes", 10, 11)):
        assert (reads.ended_by(later, **{name: low}), reads.ended_by(later, **{name: high})) == (alive, 0)
    database.clock.at = later = later + 2
    for value in ("10", "60"):
        general_settings.set_general(store.accounts, "idle_timeout_minutes", value, actor="test", now=later)
    # Only who was issued later, seen from the beginning, lives on: a timeout of the past has killed the others.
    left = sum(len(look(store, each.client_id)) for each in seeded)
    assert left < alive
    assert sum(reads.by_key(later).values()) == left


def test_counts_of_live_tokens_stop_where_a_page_says_so_many_or_more(store, seeded, monkeypatch):
    resource_server_actions.register_resource_server(store.accounts, "api", API, pepper=PEPPER, **WHO)
    for file in ("ports.console_reads.users", "store.tokens.reads", "store.user_reads"):
        monkeypatch.setattr(f"authserver.{file}.MAX_COUNTED", 4)
    reads = store.token_reads
    assert reads.all(NOW) == reads.by_audience(NOW)[API] == reads.ended_by(NOW + 600, idle_timeout_minutes=1) == 4
    assert list(reads.by_key(NOW).values()) == [4]
    preview = store.user_reads.preview_delete_role("reader", NOW)
    assert (preview.live_tokens, preview.at_least) == (4, True)
    assert sum(loss.live_tokens for loss in preview.losses) == 4
    assert preview.credentials == len(preview.losses) == 3
    assert not store.user_reads.preview_revoke("bob", "reader", NOW - DAY).at_least


def test_a_preview_names_who_loses_what_and_counts_the_tokens(store, seeded):
    both, one, _ = seeded
    preview = store.user_reads.preview_revoke("ADA", "writer", NOW)
    assert [(loss.name, loss.lost, loss.left, loss.live_tokens) for loss in preview.losses] == [
        ("both", ("writer",), ("reader",), 3),
        ("one", (), ("reader",), 2),
    ]
    assert (preview.credentials, preview.live_tokens, preview.users) == (2, 5, 1)
    off = store.user_reads.preview_disable("ada", NOW)
    assert [(loss.client_id, loss.lost, loss.left) for loss in off.losses] == [
        (both.client_id, ("reader", "writer"), ()),
        (one.client_id, ("reader",), ()),
    ]
    gone = store.user_reads.preview_delete_role("reader", NOW)
    assert (gone.credentials, gone.live_tokens, gone.users) == (3, 9, 2)
    assert {(loss.name, loss.lost, loss.left) for loss in gone.losses} == {
        ("both", ("reader",), ("writer",)),
        ("one", ("reader",), ()),
        ("hers", ("reader",), ()),
    }
    given = store.user_reads.preview_grant("ada", NOW)
    assert (given.live_tokens, {loss.lost for loss in given.losses}) == (5, {()})
    for unknown in (
        lambda: store.user_reads.preview_revoke("ada", "nothing", NOW),
        lambda: store.user_reads.preview_disable("nobody", NOW),
    ):
        with pytest.raises(NotFound):
            unknown()


def test_a_preview_of_a_roles_end_is_what_a_plain_look_at_everybody_finds(store):
    dice = random.Random(5)
    everybody = [store.accounts.user(name) for name in ("ada", "bob")]
    for number in range(6):
        held = ["reader", *(["writer"] if number % 2 else [])]
        everybody.append(user_actions.create_user(store.accounts, f"user{number}", held, **WHO))
    for number in range(40):
        owner = dice.choice(everybody)
        roles_held = [name for name in owner.role_names if name != "builder"]
        made = make(
            store, owner.username, f"c{number}", roles=dice.sample(roles_held, dice.randint(1, len(roles_held)))
        )
        for _ in range(dice.choice([0, 1, 3])):
            issue(store, made.client_id, role_version=owner.role_version)
        if dice.random() < 0.15:
            credentials.delete(store.accounts, made.client_id, **WHO)
    store.usage.flush()
    for name in ("user1", "user3", "ada"):
        user_actions.revoke(store.accounts, name, "reader", **WHO)
    for role in ("reader", "writer", "builder"):
        held_by = {user.username for user in store.accounts.users() if role in user.role_names}
        rows = store.credential_reads.page(CredentialQuery(size=200), NOW).rows
        theirs = {row.client_id: row for row in rows if row.owner in held_by}
        live = {each: len(look(store, each)) for each in theirs}
        touched = {each for each, row in theirs.items() if role in row.held or live[each]}
        preview = store.user_reads.preview_delete_role(role, NOW)
        assert (preview.users, preview.credentials) == (len(held_by), len(touched))
        assert preview.live_tokens == sum(live.values())
        values = {loss.client_id: (loss.live_tokens, set(loss.lost), set(loss.left)) for loss in preview.losses}
        assert values == {
            each: (live[each], {role} & set(theirs[each].held), set(theirs[each].held) - {role}) for each in touched
        }
        assert [loss.live_tokens for loss in preview.losses] == sorted(live[each] for each in touched)[::-1]
    assert {row.role.name: store.user_reads.role_rows(row.role.id) for row in store.user_reads.role_rows()} == {
        row.role.name: (row,) for row in store.user_reads.role_rows()
    }
    assert store.user_reads.role_rows("nothing") == store.user_reads.role_rows("\x00") == ()


def test_a_preview_tells_what_then_happens(store, seeded):
    told = store.user_reads.preview_revoke("ada", "writer", NOW)
    before = sum(len(look(store, each.client_id)) for each in seeded)
    user_actions.revoke(store.accounts, "ada", "writer", **WHO)
    after = sum(len(look(store, each.client_id)) for each in seeded)
    assert before - after == told.live_tokens
    for loss in told.losses:
        assert store.credential_reads.row(loss.client_id, NOW).held == loss.left


# --- users, roles, settings, sessions ------------------------------------------------------------------


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


# --- the book of changes --------------------------------------------------------------------------------


def note(store, name, target="t", actor="test", at=NOW):
    with store.accounts.change(Event(name, actor, target), at):
        pass


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


# --- one form, one effect; the limit ---------------------------------------------------------------------


def test_a_form_that_is_sent_twice_makes_one_credential(store):
    made = make(store, name="first", form_key="k" * 32)
    records = store.audit_reads.chain_status().records
    with pytest.raises(AlreadyDone) as told:
        make(store, name="second", form_key="k" * 32, now=NOW + 900)
    assert told.value.subject == made.client_id
    assert "acs_" not in str(told.value)
    assert names(store.credential_reads.page(CredentialQuery(), NOW)) == ["first"]
    assert store.audit_reads.chain_status().records == records
    make(store, "bob", "bobs own form", roles=["reader"], form_key="k" * 32)
    for impossible in ("", "k" * 256):
        with pytest.raises(Invalid):
            make(store, form_key=impossible)


def test_a_form_with_a_fault_may_be_mended_and_sent_again(store):
    with pytest.raises(Invalid):
        make(store, roles=["unknown"], form_key="key")
    assert make(store, form_key="key").name == "bot"


def test_a_secret_is_regenerated_once_by_one_form(store):
    made = make(store)

    def regenerate(key):
        return credentials.regenerate(store.accounts, made.client_id, 3600, pepper=PEPPER, form_key=key, **WHO)

    regenerate("one")
    secrets = store.credential_reads.secrets(made.client_id)
    with pytest.raises(AlreadyDone) as told:
        regenerate("one")
    assert told.value.subject == made.client_id
    assert store.credential_reads.secrets(made.client_id) == secrets
    regenerate("two")
    assert len(store.credential_reads.secrets(made.client_id)) == 3


def test_a_form_sent_at_the_same_moment_to_two_nodes_makes_one_credential(database, store):
    nodes = [store, database.open()]

    def send(number):
        try:
            return make(nodes[number % 2], form_key="same").client_id
        except AlreadyDone as told:
            return told.subject

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(send, range(8)))) == 1
    assert store.credential_reads.page(CredentialQuery(), NOW).total == 1


def test_the_limit_of_live_credentials_holds_under_parallel_creates(database, store):
    general_settings.set_general(store.accounts, "max_credentials_per_user", "3", **WHO)
    nodes = [store, database.open()]

    def create(number):
        try:
            return make(nodes[number % 2])
        except Conflict as refused:
            return str(refused)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(create, range(8)))
    refused = [each for each in results if isinstance(each, str)]
    assert len(refused) == 5
    assert set(refused) == {
        "ada has 3 live credentials, which is the most allowed; delete one that is not needed first"
    }
    make(store, "bob", roles=["reader"])
    first = next(each for each in results if not isinstance(each, str))
    credentials.delete(store.accounts, first.client_id, **WHO)
    make(store)


def test_only_live_credentials_count_and_an_expired_one_comes_back_only_where_there_is_room(store):
    general_settings.set_general(store.accounts, "max_credentials_per_user", "1", **WHO)
    old = make(store, days=1)
    later = NOW + 2 * DAY
    new = make(store, now=later)
    with pytest.raises(Conflict, match="1 live credentials"):
        credentials.edit(store.accounts, old.client_id, expires_at=later + DAY, actor="test", now=later)
    credentials.delete(store.accounts, new.client_id, actor="test", now=later)
    credentials.edit(store.accounts, old.client_id, expires_at=later + DAY, actor="test", now=later)


# --- the step of the schema --------------------------------------------------------------------------------


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


@pytest.mark.parametrize("order", ["name", "owner", "expires_at", "created_at", "last_used_at"])
@pytest.mark.parametrize("descending", [True, False])
def test_parts_are_the_pages_in_the_same_order_and_a_deleted_credential_still_marks_its_place(store, order, descending):
    made = [
        make(store, "ada" if number % 2 else "bob", name, 90 + number % 3, roles=("reader",))
        for number, name in enumerate("xXyyxzZa")
    ]
    issue(store, made[3].client_id)
    store.usage.flush()
    for owner_id in (None, made[1].owner_id):
        query = CredentialQuery(order=order, descending=descending)
        whole = [row.client_id for row in store.credential_reads.page(query, NOW, owner_id=owner_id, days=False).rows]
        found, after = [], ""
        while part := store.credential_reads.part(query, NOW, 3, after=after, owner_id=owner_id):
            found += [row.client_id for row in part]
            after = found[-1]
        assert found == whole
    query = CredentialQuery(order=order, descending=descending)
    whole = [row.client_id for row in store.credential_reads.page(query, NOW, days=False).rows]
    credentials.delete(store.accounts, whole[2], **WHO)
    rest = store.credential_reads.part(query, NOW, 100, after=whole[2])
    assert [row.client_id for row in rest] == whole[3:]


def test_clients_that_get_far_more_tokens_than_they_use_are_named_the_worst_first(store):
    wasteful, worse, busy, small, today = (make(store, name=name) for name in ("one", "two", "busy", "small", "today"))
    day, now = NOW - NOW % DAY, NOW + DAY  # seen from the day after
    rows = [
        (wasteful, day, "granted", 1_000, (60, 40)),
        (worse, day, "granted", 8_640_000, (12,)),
        (busy, day, "granted", 5_000, (501,)),
        (small, day, "granted", 999, ()),
        (small, day, "wrong_secret", 5_000, ()),
        (today, day + DAY, "granted", 5_000, ()),
        (busy, day - DAY, "granted", 9_000, ()),
    ]
    with store.engine.begin() as connection:
        for credential, at, outcome, requests, uses in rows:
            key = {"client_id": credential.client_id, "day": at, "outcome": outcome}
            connection.execute(tables.token_requests.insert().values(**key, requests=requests))
            for number, count in enumerate(uses):
                where = {"client_id": credential.client_id, "day": at, "secret_id": "s", "resource_server_id": "r"}
                told = {"method": "GET", "route": f"/{number}", "uses": count, "last_used_at": at}
                connection.execute(tables.usage.insert().values(**where, **told))
    found = store.token_reads.unused(now)
    assert [(each.name, each.owner, each.tokens, each.uses) for each in found] == [
        ("two", "ada", 8_640_000, 12),
        ("one", "ada", 1_000, 100),
    ]
    assert found[0].client_id == worse.client_id
    assert store.token_reads.unused(now + 5 * DAY) == ()
    assert store.token_reads.unused(now, wasteful.client_id) == (found[1],)
    assert store.token_reads.unused(now, busy.client_id) == ()
