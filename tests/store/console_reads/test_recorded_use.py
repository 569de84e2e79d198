"""What token requests, uses and refusals leave for the console."""

from sqlalchemy import text

from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import users as user_actions
from authserver.ports.console_reads.credentials import SPARK_DAYS, CredentialQuery
from authserver.rules.credential_status import Status
from authserver.store import tables
from authserver.store.tokens import usage_buffer
from tests.store.console_reads.support import API, PEPPER, WHO, issue, make, names
from tests.support.stores import DAY, NOW


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
    monkeypatch.setattr(usage_buffer, "MAX_REFUSALS", 2)
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
                more = {"method": "GET", "route": f"/{number}", "uses": count, "last_used_at": at}
                connection.execute(tables.usage.insert().values(**where, **more))
    found = store.token_reads.unused(now)
    assert [(each.name, each.owner, each.tokens, each.uses) for each in found] == [
        ("two", "ada", 8_640_000, 12),
        ("one", "ada", 1_000, 100),
    ]
    assert found[0].client_id == worse.client_id
    assert store.token_reads.unused(now + 5 * DAY) == ()
    assert store.token_reads.unused(now, wasteful.client_id) == (found[1],)
    assert store.token_reads.unused(now, busy.client_id) == ()
