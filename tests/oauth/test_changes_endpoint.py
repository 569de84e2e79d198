"""The change feed: what ended, signed, whole or since a cursor."""

import threading

import pytest
from sqlalchemy import delete

from authserver.actions import credentials, general_settings, resource_servers, restore, sessions, users
from authserver.oauth import changes_endpoint
from authserver.rules.facts import Reason
from authserver.store.tables import kills
from keys.master import MasterKey
from keys.material import make
from keys.signing import TokenReader
from tests.support.deadlines import SECONDS, join, wait_until
from tests.support.wsgi_client import BACKENDS, WRONG_SECRET, basic, opened, parts


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


def fetch(world, after="", *, tag="", api=None, query=None):
    headers = {"If-None-Match": tag} if tag else {}
    if api != ():
        headers["Authorization"] = basic(*(api or world.api))
    text = query if query is not None else f"after={after}" if after else ""
    return world.http.get("/oauth/changes", query_string=text, headers=headers)


def read(world, after="", **options):
    """Verify a document with the published keys; its claims."""
    return verified(world, fetch(world, after, **options))


def verified(world, answer):
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/jwt"
    found = TokenReader(world.store.keys.public()).read(answer.text, "changes+jwt")
    assert found is not None
    return found[1]


def owner(world):
    return parts(world.access_token())[1]["sub"]


def test_the_whole_state_of_a_quiet_server(world):
    claims = read(world)
    assert claims["complete"] is True
    assert (claims["iss"], claims["epoch"], claims["idle_seconds"]) == (world.services.issuer, "1", 1800)
    assert world.api[0] in claims["aud"]
    assert "https://api.example.com" in claims["aud"]
    assert claims["as_of"] == world.clock.at
    assert (claims["ended_tokens"], claims["removed_keys"], claims["disabled_users"]) == ({}, [], [])


def test_a_poll_with_the_tag_is_not_modified_until_something_ends(world):
    first = fetch(world)
    cursor, tag = read(world)["cursor"], first.headers["ETag"]
    assert "private" in first.headers["Cache-Control"]
    quiet = fetch(world, cursor, tag=tag)
    assert (quiet.status_code, quiet.data, quiet.headers["ETag"]) == (304, b"", tag)
    credentials.disable(world.accounts, world.client[0], **world.who)
    changed = fetch(world, cursor, tag=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_delta_tells_what_ended_since_and_nothing_else(world):
    token = world.access_token()
    world.store.usage.flush()
    jti, exp, sub = (parts(token)[1][name] for name in ("jti", "exp", "sub"))
    cursor = read(world)["cursor"]
    assert world.post("/oauth/revoke", {"token": token}, world.client).status_code == 200
    delta = read(world, cursor)
    assert (delta["complete"], delta["ended_tokens"], delta["role_versions"]) == (False, {jti: exp}, {})
    users.revoke(world.accounts, "ada", "writer", **world.who)
    later = read(world, delta["cursor"])
    assert (later["ended_tokens"], list(later["role_versions"])) == ({}, [sub])
    assert later["role_versions"][sub] > parts(token)[1]["role_version"]
    whole = read(world)
    assert whole["ended_tokens"] == {jti: exp}
    assert whole["role_versions"] == later["role_versions"]


def test_tokens_of_other_audiences_are_not_told(world):
    other = resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    theirs = world.access_token(resource="https://other.example.com")
    world.store.usage.flush()
    assert world.post("/oauth/revoke", {"token": theirs}, world.client).status_code == 200
    assert read(world)["ended_tokens"] == {}
    assert list(read(world, api=(other.server.client_id, other.secret))["ended_tokens"]) == [parts(theirs)[1]["jti"]]


def test_a_disabled_credential_and_a_regenerated_secret(world):
    token = world.access_token()
    secret_id, client_id = parts(token)[1]["standing"]["secret"], parts(token)[1]["client_id"]
    credentials.regenerate(world.accounts, client_id, 3600, pepper=world.store.pepper, **world.who)
    planned = read(world)["ended_secrets"]
    assert planned[secret_id] == world.clock.at + 3600
    credentials.disable(world.accounts, client_id, **world.who)
    assert read(world)["ended_credentials"] == {client_id: world.clock.at}


def test_an_expiry_that_is_moved_twice_is_told_as_it_stands(world):
    token = world.access_token()
    secret_id, client_id = parts(token)[1]["standing"]["secret"], parts(token)[1]["client_id"]
    cursor = read(world)["cursor"]
    credentials.edit(world.accounts, client_id, expires_at=world.clock.at + 100, **world.who)
    delta = read(world, cursor)
    assert delta["ended_secrets"][secret_id] == world.clock.at + 100
    credentials.edit(world.accounts, client_id, expires_at=world.clock.at + 9000, **world.who)
    assert read(world, delta["cursor"])["ended_secrets"][secret_id] == world.clock.at + 9000


def test_a_disabled_owner_and_one_who_comes_back(world):
    sub = owner(world)
    users.disable(world.accounts, "ada", **world.who)
    gone = read(world)
    assert gone["disabled_users"] == [sub]
    users.enable(world.accounts, "ada", **world.who)
    back = read(world, gone["cursor"])
    assert (back["disabled_users"], list(back["role_versions"])) == ([], [sub])


def test_a_compromised_key(world):
    kid = parts(world.access_token())[0]["kid"]
    spare = make("ES256", MasterKey("A" * 43))
    world.store.keys.compromise(kid, "test", world.clock.at, spare)
    assert read(world)["removed_keys"] == [kid]


def test_a_restore_makes_every_cursor_too_old(world):
    cursor = read(world)["cursor"]
    restore.declare_restored(world.accounts, **world.who)
    answer = fetch(world, cursor)
    assert (answer.status_code, answer.json["error"]) == (410, "cursor_too_old")
    assert read(world)["epoch"] == str(world.clock.at)


def test_entries_that_were_deleted_make_a_cursor_too_old(world):
    cursor = read(world)["cursor"]
    users.revoke(world.accounts, "ada", "writer", **world.who)
    users.grant(world.accounts, "ada", "writer", **world.who)
    with world.store.engine.begin() as connection:
        connection.execute(delete(kills).where(kills.c.seq <= int(cursor.partition(".")[2]) + 1))
    assert fetch(world, cursor).status_code == 410


@pytest.mark.parametrize("cursor", ["x", "1", "1.", "1.99999", "2.0", "-1.0", "1.0.0", "1." + "9" * 40])
def test_a_cursor_that_was_never_told_is_too_old(world, cursor):
    assert fetch(world, cursor).status_code == 410


@pytest.fixture
def long_poller(monkeypatch):
    """Requests may wait for as long as the other threads of a test may need."""
    monkeypatch.setattr(changes_endpoint, "MAX_LONG_POLL_SECONDS", SECONDS)


def waited(world, cursor, **options):
    """A poll that waits, in a thread; its answer is put into the list when it comes."""
    answers = []
    query = f"after={cursor}&wait={SECONDS}"
    thread = threading.Thread(target=lambda: answers.append(fetch(world, query=query, **options)))
    thread.start()
    return thread, answers


@pytest.mark.parametrize("tagged", [True, False], ids=["with the tag", "without"])
def test_a_poll_that_waits_is_answered_when_something_ends(world, long_poller, tagged):
    token = world.access_token()
    world.store.usage.flush()
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"] if tagged else ""
    thread, answers = waited(world, cursor, tag=tag)
    assert not answers
    assert world.post("/oauth/revoke", {"token": token}, world.client).status_code == 200
    join(thread)
    assert list(verified(world, answers[0])["ended_tokens"]) == [parts(token)[1]["jti"]]


def test_a_poll_that_waits_in_vain_is_answered_as_one_that_does_not(world):
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"]
    assert fetch(world, query=f"after={cursor}&wait=1", tag=tag).status_code == 304
    world.clock.at += 7
    claims = verified(world, fetch(world, query=f"after={cursor}&wait=1"))
    assert (claims["cursor"], claims["complete"], claims["as_of"]) == (cursor, False, world.clock.at)


def test_no_more_polls_wait_than_leave_threads_for_the_rest(world, long_poller):
    """The others are answered at once, so that token requests always find a thread."""
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"]
    most = world.services.config.most_waiting
    assert 1 <= most < world.services.config.threads / 2
    polls = [waited(world, cursor, tag=tag) for _ in range(most + 3)]
    wait_until("three answers", lambda: len([answers for _, answers in polls if answers]) == 3)
    assert [answers[0].status_code for _, answers in polls if answers] == [304] * 3
    users.revoke(world.accounts, "ada", "writer", **world.who)
    for thread, _ in polls:
        join(thread)
    assert sorted(answers[0].status_code for _, answers in polls) == [200] * most + [304] * 3


def test_a_resource_server_that_is_switched_off_waits_no_longer(world, long_poller):
    thread, answers = waited(world, read(world)["cursor"])
    resource_servers.disable_resource_server(world.accounts, "api", **world.who)
    join(thread)
    assert answers[0].status_code == 401


NO_QUESTIONS = ["after=1.0&after=1.0", "x=1", "after=%00", "wait=", "wait=-1", "wait=1.5", "wait=x", "wait=1&wait=1"]


@pytest.mark.parametrize("query", NO_QUESTIONS)
def test_what_is_no_question_is_a_bad_request(world, query):
    assert fetch(world, query=query).status_code == 400


def test_a_shorter_idle_timeout_is_told_at_once(world):
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"]
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "5", **world.who)
    assert fetch(world, cursor, tag=tag).status_code == 200
    assert read(world, cursor)["idle_seconds"] == 300


def test_a_shorter_longest_lifetime_is_told_at_once(world):
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"]
    general_settings.set_general(world.accounts, "max_token_lifetime_minutes", "5", **world.who)
    assert fetch(world, cursor, tag=tag).status_code == 200
    assert read(world, cursor)["longest_seconds"] == 300


@pytest.mark.parametrize("setting", ["idle_timeout_minutes", "max_token_lifetime_minutes"])
@pytest.mark.parametrize("tagged", [True, False], ids=["with the tag", "without"])
def test_a_poll_that_waits_is_answered_when_a_limit_is_lowered(world, long_poller, setting, tagged):
    cursor, tag = read(world)["cursor"], fetch(world).headers["ETag"] if tagged else ""
    thread, answers = waited(world, cursor, tag=tag)
    general_settings.set_general(world.accounts, setting, "5", **world.who)
    join(thread)
    told = verified(world, answers[0])
    assert 300 in (told["idle_seconds"], told["longest_seconds"])


def test_INV_05_a_limit_that_is_lowered_and_raised_again_leaves_its_mark(world):
    """What had idled out, or was too old, under the lower one stays dead."""
    before = read(world)
    assert (before["used_since"], before["issued_since"]) == (0, 0)
    for minutes in ("5", "60"):
        general_settings.set_general(world.accounts, "idle_timeout_minutes", minutes, **world.who)
        general_settings.set_general(world.accounts, "max_token_lifetime_minutes", minutes, **world.who)
    after = read(world, before["cursor"])
    assert world.clock.at - 320 < after["used_since"] <= world.clock.at - 299
    assert world.clock.at - 320 < after["issued_since"] <= world.clock.at - 299


def test_only_resource_servers_are_told(world):
    for api in (world.client, (world.api[0], WRONG_SECRET), ("nobody", world.api[1])):
        answer = fetch(world, api=api)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert fetch(world, api=()).status_code == 401


def test_a_session_ended_by_its_owner(world):
    token = world.access_token()
    world.store.usage.flush()
    cursor = read(world)["cursor"]
    sessions.end(world.accounts, parts(token)[1]["jti"], Reason.ENDED_BY_OWNER, **world.who)
    assert list(read(world, cursor)["ended_tokens"]) == [parts(token)[1]["jti"]]
