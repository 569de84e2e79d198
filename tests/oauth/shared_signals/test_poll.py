"""Delivery by poll (RFC 8936): each death becomes the event that CAEP has for it, at least once, in order."""

import threading
import uuid

from authserver.actions import credentials, general_settings, resource_servers, restore, sessions, users
from authserver.oauth.shared_signals import poll_endpoint
from authserver.rules.facts import Reason
from keys.master import MasterKey
from keys.material import make
from tests.oauth.shared_signals.conftest import (
    BOTH,
    CREDENTIAL_CHANGE,
    PUSH,
    SESSION_REVOKED,
    STREAM_UPDATED,
    TOKEN_CLAIMS_CHANGE,
    Receiver,
)
from tests.support.deadlines import SECONDS, join, wait_until
from tests.support.wsgi_client import parts


def told(receiver, stream, **options):
    """Short: type, subject and members of each event, in order."""
    found = []
    for claims in receiver.poll(stream, **options).values():
        ((kind, members),) = claims["events"].items()
        found.append((kind, claims["sub_id"], members))
    return found


def user_of(world, token):
    return {"format": "iss_sub", "iss": world.services.issuer, "sub": parts(token)[1]["sub"]}


def client_of(world, token):
    application = {"format": "opaque", "id": parts(token)[1]["client_id"]}
    return {"format": "complex", "user": user_of(world, token), "application": application}


def live(world, **form):
    token = world.access_token(**form)
    world.store.usage.flush()
    return token


def revoke(world, token):
    assert world.post("/oauth/revoke", {"token": token}, world.client).status_code == 200


@BOTH
def test_a_revoked_token_is_a_session_that_was_revoked(world, receiver):
    token = live(world)
    stream = receiver.create()
    assert receiver.poll(stream) == {}
    revoke(world, token)
    ((kind, subject, members),) = told(receiver, stream)
    session = {"format": "jwt_id", "iss": world.services.issuer, "jti": parts(token)[1]["jti"]}
    assert (kind, subject) == (SESSION_REVOKED, {**client_of(world, token), "session": session})
    assert members == {"event_timestamp": world.clock.at, "initiating_entity": "policy"}


def test_an_idle_end_is_told_as_soon_as_it_is_found(world, receiver):
    token, stream = live(world), receiver.create()
    world.clock.at += 31 * 60
    assert told(receiver, stream) == []
    assert not world.active(token)
    assert [kind for kind, _, _ in told(receiver, stream)] == [SESSION_REVOKED]


def test_a_role_change_is_a_change_of_claims_and_a_disabled_owner_a_revoked_session(world, receiver):
    token, stream = live(world), receiver.create()
    users.revoke(world.accounts, "ada", "writer", **world.who)
    ((kind, subject, members),) = told(receiver, stream)
    assert (kind, subject) == (TOKEN_CLAIMS_CHANGE, user_of(world, token))
    assert members["claims"] == {"role_version": parts(token)[1]["role_version"] + 1}
    assert members["initiating_entity"] == "admin"
    (first,) = receiver.poll(stream)
    receiver.poll(stream, ack=[first])
    users.disable(world.accounts, "ada", **world.who)
    disabled = told(receiver, stream)
    assert [(kind, subject) for kind, subject, _ in disabled] == [(SESSION_REVOKED, user_of(world, token))]


@BOTH
def test_what_happens_to_a_credential(world, receiver):
    client_id, where, stream = world.client[0], client_of(world, live(world)), receiver.create()

    def next_events():
        found = receiver.poll(stream)
        assert all(claims["sub_id"] == where for claims in found.values())
        receiver.poll(stream, ack=list(found), maxEvents=0)
        both = [next(iter(claims["events"].items())) for claims in found.values()]
        return [(kind, members.get("credential_type"), members.get("change_type")) for kind, members in both]

    secret = (CREDENTIAL_CHANGE, "client_secret")
    credentials.regenerate(world.accounts, client_id, 3600, pepper=world.store.pepper, **world.who)
    assert next_events() == [(*secret, "update")]  # the old one goes on for an hour
    credentials.regenerate(world.accounts, client_id, 0, pepper=world.store.pepper, **world.who)
    assert next_events() == [(*secret, "revoke")]
    credentials.edit(world.accounts, client_id, expires_at=world.clock.at + 86400, **world.who)
    assert next_events() == [(*secret, "update")]
    sessions.end_all(world.accounts, client_id, reason=Reason.ENDED_BY_OWNER, **world.who)
    assert next_events()[-1] == (SESSION_REVOKED, None, None)
    credentials.disable(world.accounts, client_id, **world.who)
    assert next_events() == [(SESSION_REVOKED, None, None), (*secret, "revoke")]
    credentials.delete(world.accounts, client_id, **world.who)
    assert next_events()[-2:] == [(SESSION_REVOKED, None, None), (*secret, "delete")]


def test_a_compromised_key_and_a_restored_database(world, receiver):
    kid, stream = parts(world.access_token())[0]["kid"], receiver.create()
    world.store.keys.compromise(kid, "test", world.clock.at, make("ES256", MasterKey("A" * 43)))
    ((kind, subject, _),) = told(receiver, stream)
    uri = f"{world.services.issuer}/.well-known/jwks.json#{kid}"
    assert (kind, subject) == (SESSION_REVOKED, {"format": "uri", "uri": uri})
    before = set(receiver.poll(stream))
    restore.declare_restored(world.accounts, **world.who)
    again = told(receiver, stream)
    assert again[-1][:2] == (SESSION_REVOKED, {"format": "uri", "uri": world.services.issuer})
    # The entries of a restored database are counted again: an answer to an event of before must not hit another one.
    assert not before & set(receiver.poll(stream))
    assert len(receiver.poll(stream, ack=list(before))) == 2


def test_what_changes_no_token_is_no_event(world, receiver):
    stream = receiver.create()
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "20", **world.who)
    credentials.edit(world.accounts, world.client[0], name="renamed", **world.who)
    assert receiver.poll(stream) == {}


def test_tokens_for_other_apis_are_not_told(world, receiver):
    other = resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    theirs = Receiver(world, (other.server.client_id, other.secret))
    mine, foreign = receiver.create(), theirs.create()
    revoke(world, live(world, resource="https://other.example.com"))
    assert receiver.poll(mine) == {}
    assert len(theirs.poll(foreign)) == 1


def test_only_what_was_requested_and_only_from_the_creation_on(world, receiver):
    users.revoke(world.accounts, "ada", "writer", **world.who)
    stream = receiver.create(events_requested=[SESSION_REVOKED])
    users.grant(world.accounts, "ada", "writer", **world.who)
    revoke(world, live(world))
    assert [kind for kind, _, _ in told(receiver, stream)] == [SESSION_REVOKED]
    assert receiver.poll(receiver.create()) == {}


@BOTH
def test_an_event_is_sent_until_it_is_acknowledged_and_in_order(world, receiver):
    stream = receiver.create()
    for _ in range(5):
        revoke(world, live(world))
    all_five = list(receiver.poll(stream))
    assert list(receiver.poll(stream)) == all_five
    assert list(receiver.poll(stream, maxEvents=2)) == all_five[:2]
    answer = receiver.call(
        "POST", stream["delivery"]["endpoint_url"], {"maxEvents": 2, "returnImmediately": True, "ack": [all_five[3]]}
    ).json
    assert (list(answer["sets"]), answer["moreAvailable"]) == (all_five[:2], True)
    rest = [all_five[0], all_five[2], all_five[4]]
    assert list(receiver.poll(stream, ack=[all_five[1]])) == rest
    error = {all_five[0]: {"err": "invalid_key", "description": "no such\nkey"}}
    assert list(receiver.poll(stream, setErrs=error)) == rest[1:]
    (known,) = world.store.event_streams.of_server(server_id(world))
    assert (known.last_error, known.delivered) == ("invalid_key: no such?key", 2)
    assert receiver.poll(stream, ack=rest) == {}
    (known,) = world.store.event_streams.of_server(server_id(world))
    assert (known.delivered, known.delivered_at, known.progress.acknowledged) == (4, world.clock.at, frozenset())


def server_id(world):
    return next(each.id for each in world.accounts.resource_servers() if each.name == "api")


def test_acknowledging_what_was_never_sent_changes_nothing(world, receiver):
    stream, other = receiver.create(), receiver.create()
    revoke(world, live(world))
    ((jti, _),) = receiver.poll(stream).items()
    foreign = jti.replace(stream["stream_id"], other["stream_id"])
    head, _, tail = jti.rpartition(".")
    unknown = f"{stream['stream_id']}.1.999999.revoked"
    strange = [foreign, "", "x", head, f"{head}.other", unknown, jti + ".x", "1." + tail]
    assert list(receiver.poll(stream, ack=strange, setErrs={str(uuid.uuid4()): {}})) == [jti]


def test_a_paused_stream_holds_its_events_and_a_disabled_one_loses_them(world, receiver):
    stream = receiver.create()

    def switch(status):
        url = receiver.discovered["status_endpoint"]
        answer = receiver.call("POST", url, {"stream_id": stream["stream_id"], "status": status})
        assert (answer.status_code, answer.json["status"]) == (200, status)

    switch("paused")
    switch("paused")
    revoke(world, live(world))
    assert receiver.poll(stream) == {}
    assert (
        receiver.call(
            "POST", receiver.discovered["verification_endpoint"], {"stream_id": stream["stream_id"]}
        ).status_code
        == 409
    )
    switch("enabled")
    (held,) = receiver.poll(stream)
    receiver.poll(stream, ack=[held])
    switch("disabled")
    revoke(world, live(world))
    switch("enabled")
    assert receiver.poll(stream) == {}
    bad = receiver.call(
        "POST", receiver.discovered["status_endpoint"], {"stream_id": stream["stream_id"], "status": "off"}
    )
    assert bad.status_code == 400


def test_a_receiver_is_told_what_the_operator_did_even_while_it_is_paused(world, receiver):
    from authserver.actions.shared_signals.streams import set_status

    stream, streams = receiver.create(), world.store.event_streams
    revoke(world, live(world))
    set_status(streams, server_id(world), stream["stream_id"], "paused", "noon", by_receiver=False, **world.who)
    ((kind, subject, members),) = told(receiver, stream)
    assert (kind, subject) == (STREAM_UPDATED, {"format": "opaque", "id": stream["stream_id"]})
    assert members == {"status": "paused", "reason": "noon"}


def test_a_removed_user_is_not_told_until_it_is_added_again(world, receiver):
    stream, subject = receiver.create(), user_of(world, live(world))
    chosen = {"stream_id": stream["stream_id"], "subject": subject}
    receiver.call("POST", receiver.discovered["remove_subject_endpoint"], chosen)
    revoke(world, live(world))
    assert receiver.poll(stream) == {}
    receiver.call("POST", receiver.discovered["add_subject_endpoint"], chosen)
    revoke(world, live(world))
    assert len(receiver.poll(stream)) == 2  # what was not acknowledged yet is told as well


@BOTH
def test_many_entries_that_concern_nobody_are_passed_by(world, receiver, monkeypatch):
    from authserver.actions.shared_signals import delivery

    monkeypatch.setattr(delivery, "WINDOW", 3)
    stream = receiver.create(events_requested=[SESSION_REVOKED])
    for _ in range(4):
        users.revoke(world.accounts, "ada", "writer", **world.who)
        users.grant(world.accounts, "ada", "writer", **world.who)
    revoke(world, live(world))
    assert [kind for kind, _, _ in told(receiver, stream)] == [SESSION_REVOKED]


def test_a_stream_that_is_pushed_cannot_be_polled(receiver):
    made = receiver.create(delivery={"method": PUSH, "endpoint_url": "https://receiver.example.com/"})
    answer = receiver.call("POST", f"{receiver.issuer}/ssf/poll?stream_id={made['stream_id']}", {})
    assert (answer.status_code, answer.json["error"]) == (409, "conflict")


def test_a_poll_that_cannot_be_read_is_refused(receiver):
    stream = receiver.create()
    for bad in (
        {"maxEvents": -1},
        {"maxEvents": True},
        {"maxEvents": "5"},
        {"maxEvents": 1.5},
        {"returnImmediately": "yes"},
        {"ack": "x"},
        {"ack": [7]},
        {"ack": ["x"] * 1001},
        {"setErrs": []},
        {"setErrs": {"x": "y"}},
    ):
        answer = receiver.call("POST", stream["delivery"]["endpoint_url"], {"returnImmediately": True, **bad})
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), bad


def test_a_waiting_poll_is_answered_when_something_ends(world, receiver, monkeypatch):
    seats = threading.BoundedSemaphore(1)
    monkeypatch.setattr(poll_endpoint, "MAX_LONG_POLL_SECONDS", SECONDS)
    world.http.application._table["/ssf/poll"].endpoint._seats = seats
    token, stream, answers = live(world), receiver.create(), []

    def wait():
        answers.append(receiver.call("POST", stream["delivery"]["endpoint_url"], {}).json)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until("the poll to wait", lambda: seats._value == 0)
    assert receiver.call("POST", stream["delivery"]["endpoint_url"], {}).json == {"sets": {}}  # no seat is left
    revoke(world, token)
    join(thread)
    assert [len(each["sets"]) for each in answers] == [1]
    assert seats._value == 1


def test_whoever_is_switched_off_while_it_waits_gets_nothing(world, receiver, monkeypatch):
    seats, stream, answers = threading.BoundedSemaphore(1), receiver.create(), []
    monkeypatch.setattr(poll_endpoint, "MAX_LONG_POLL_SECONDS", SECONDS)
    world.http.application._table["/ssf/poll"].endpoint._seats = seats
    thread = threading.Thread(
        target=lambda: answers.append(receiver.call("POST", stream["delivery"]["endpoint_url"], {}).status_code)
    )
    thread.start()
    wait_until("the poll to wait", lambda: seats._value == 0)
    resource_servers.disable_resource_server(world.accounts, "api", **world.who)
    join(thread)
    assert answers == [401]
