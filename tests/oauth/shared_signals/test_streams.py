"""Streams of Shared Signals: what a receiver may set, and what it must not."""

import json

from authserver.actions import resource_servers
from authserver.actions.shared_signals.streams import MOST_STREAMS, MOST_SUBJECTS, VERIFICATION_SECONDS
from authserver.oauth.shared_signals.receiver import PER_MINUTE
from authserver.store.tables import vault
from tests.oauth.shared_signals.conftest import BOTH, POLL, PUSH, SESSION_REVOKED, VERIFICATION, Receiver
from tests.support.shell import Shell
from tests.support.wsgi_client import WRONG_SECRET, Tick

PUSHED = {"method": PUSH, "endpoint_url": "https://receiver.example.com/events", "authorization_header": "Bearer t0p"}


def events(world):
    return [each.event for each in world.accounts.audit_newest(20) if each.event.startswith("event_stream.")]


def test_the_configuration_says_all_that_a_receiver_needs(receiver):
    found = receiver.discovered
    assert found["issuer"] == receiver.issuer
    assert found["spec_version"] == "1_0"
    assert set(found["delivery_methods_supported"]) == {POLL, PUSH}
    assert found["default_subjects"] == "ALL"
    assert found["authorization_schemes"] == [{"spec_urn": "urn:ietf:rfc:7617"}]
    assert receiver.call("GET", found["jwks_uri"]).json["keys"]


@BOTH
def test_a_stream_from_its_birth_to_its_end(world, receiver):
    made = receiver.create(
        delivery={"method": POLL}, events_requested=[SESSION_REVOKED, "urn:unknown"], description="Ledger"
    )
    assert made["iss"] == receiver.issuer
    assert made["aud"] == world.api[0]
    assert made["events_delivered"] == [SESSION_REVOKED]
    assert made["events_requested"] == [SESSION_REVOKED, "urn:unknown"]
    assert made["min_verification_interval"] == VERIFICATION_SECONDS
    name = made["stream_id"]
    assert receiver.streams("GET", stream_id=name).json == made
    assert receiver.streams("GET").json == [made]
    changed = receiver.streams("PATCH", {"stream_id": name, "description": "Books"}).json
    assert changed == {**made, "description": "Books"}
    replaced = receiver.streams("PUT", {"stream_id": name, "delivery": PUSHED}).json
    assert replaced["delivery"] == {"method": PUSH, "endpoint_url": PUSHED["endpoint_url"]}
    assert ("description" in replaced, len(replaced["events_delivered"])) == (False, 3)
    assert receiver.streams("DELETE", stream_id=name).status_code == 204
    assert receiver.streams("GET", stream_id=name).status_code == 404
    assert receiver.streams("DELETE", stream_id=name).status_code == 404
    wanted = ["event_stream.created", "event_stream.edited", "event_stream.edited", "event_stream.deleted"]
    assert events(world) == wanted
    assert world.accounts.audit_verify().first_bad is None


def test_what_was_read_may_be_sent_back(receiver):
    made = receiver.create()
    assert made["delivery"]["method"] == POLL
    assert receiver.streams("PUT", made).json == made


@BOTH
def test_the_header_for_a_receiver_is_sealed_and_told_to_nobody(world, receiver):
    made = receiver.create(delivery=PUSHED)
    assert "t0p" not in json.dumps([made, receiver.streams("GET").json])
    with world.store.engine.connect() as connection:
        sealed = [bytes(row.sealed) for row in connection.execute(vault.select()) if row.purpose.startswith("stream:")]
    assert len(sealed) == 1
    assert b"t0p" not in sealed[0]
    assert "t0p" not in "".join(each.detail for each in world.accounts.audit_newest(20))
    name = made["stream_id"]
    due = [each.authorization for each in world.store.event_streams.claim_due(world.clock.at, world.clock.at + 1, 9)]
    assert due == []  # nothing happened
    receiver.streams("PATCH", {"stream_id": name, "description": "kept"})
    receiver.call("POST", receiver.discovered["verification_endpoint"], {"stream_id": name})
    due = world.store.event_streams.claim_due(world.clock.at, world.clock.at + 1, 9)
    assert [each.authorization for each in due] == ["Bearer t0p"]
    receiver.streams("DELETE", stream_id=name)
    with world.store.engine.connect() as connection:
        assert not [row for row in connection.execute(vault.select()) if row.purpose.startswith("stream:")]


def test_a_stream_of_another_looks_like_none(world, receiver):
    other = resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    theirs = Receiver(world, (other.server.client_id, other.secret))
    name, found = receiver.create()["stream_id"], receiver.discovered
    foreign = [
        theirs.streams("GET", stream_id=name),
        theirs.streams("PATCH", {"stream_id": name}),
        theirs.streams("DELETE", stream_id=name),
        theirs.call("GET", f"{found['status_endpoint']}?stream_id={name}"),
        theirs.call("POST", found["status_endpoint"], {"stream_id": name, "status": "disabled"}),
        theirs.call("POST", found["verification_endpoint"], {"stream_id": name}),
        theirs.call("POST", f"{receiver.issuer}/ssf/poll?stream_id={name}", {}),
    ]
    unknown = theirs.streams("GET", stream_id="0" * 24)
    assert {(each.status_code, each.data) for each in foreign} == {(404, unknown.data)}
    assert theirs.streams("GET").json == []


def test_nobody_else_is_served(world, receiver):
    name, found = receiver.create()["stream_id"], receiver.discovered
    for api in ((), (world.api[0], WRONG_SECRET), world.client):
        for method, url, told in (
            ("GET", found["configuration_endpoint"], None),
            ("POST", found["configuration_endpoint"], {}),
            ("POST", found["status_endpoint"], {"stream_id": name, "status": "paused"}),
            ("POST", found["add_subject_endpoint"], {}),
            ("POST", found["remove_subject_endpoint"], {}),
            ("POST", found["verification_endpoint"], {"stream_id": name}),
            ("POST", f"{receiver.issuer}/ssf/poll?stream_id={name}", {}),
        ):
            answer = receiver.call(method, url, told, api=api)
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), (method, url)
            assert "WWW-Authenticate" in answer.headers
    assert events(world) == ["event_stream.created"]


def test_a_disabled_api_gets_nothing(world, receiver):
    made = receiver.create()
    resource_servers.disable_resource_server(world.accounts, "api", **world.who)
    answer = receiver.call("POST", made["delivery"]["endpoint_url"], {})
    assert answer.status_code == 401


BAD_STREAMS = [
    {"delivery": "poll"},
    {"delivery": {}},
    {"delivery": {"method": "urn:example:pigeon"}},
    {"delivery": {"method": POLL, "authorization_header": "Bearer x"}},
    {"delivery": {"method": PUSH}},
    *(
        {"delivery": {"method": PUSH, "endpoint_url": url}}
        for url in (
            "http://receiver.example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.1.2.3/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://user:secret@receiver.example.com/",
            "https://receiver.example.com/#x",
            "https://receiver.example.com:0/",
            "https://receiver.example.com:x/",
            "https://[::1/",
            "https:///x",
            "https://receiver.example.com/\u00fc",
            "file:///etc/passwd",
            "",
            "https://receiver.example.com/" + "x" * 2000,
        )
    ),
    {"delivery": {**PUSHED, "authorization_header": "Bearer x\r\nX: y"}},
    {"delivery": {**PUSHED, "authorization_header": 7}},
    {"events_requested": "all"},
    {"events_requested": [7]},
    {"events_requested": ["x"] * 101},
    {"description": "x" * 201},
    {"description": "two\nlines"},
    {"description": "\u0000"},
    {"description": "\ud800"},
    {"description": ["x"]},
]


def test_what_cannot_be_a_stream_is_refused_with_its_fix(world, receiver):
    per_minute(world)
    for told in BAD_STREAMS:
        answer = receiver.streams("POST", told)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), told
        assert len(answer.json["error_description"]) > 15
    assert receiver.streams("GET").json == []


def per_minute(world, number=100_000):
    """Let a file of requests through: the limit has its own test."""
    from authserver.oauth.throttle import Buckets

    for path in ("/ssf/streams", "/ssf/status", "/ssf/verify", "/ssf/poll"):
        world.http.application._table[path].endpoint._access._budgets = Buckets(number, 10)


def test_a_body_that_is_no_json_object_is_refused(world, receiver):
    per_minute(world)
    bad = (b"", b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 30_000, b'"x"', b"null")
    for path in ("/ssf/streams", "/ssf/status", "/ssf/verify", "/ssf/subjects/add", "/ssf/poll"):
        for raw in bad:
            answer = receiver.call("POST", receiver.issuer + path, raw=raw)
            assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), (path, raw[:20])
        assert receiver.call("POST", receiver.issuer + path, {}, kind="text/plain").status_code == 415
        assert receiver.call("POST", receiver.issuer + path, raw=b"x" * 70_000).status_code == 413


def test_other_methods_and_parameters_are_refused(receiver):
    base = receiver.issuer
    assert receiver.call("TRACE", f"{base}/ssf/streams").headers["Allow"] == "GET, POST, PATCH, PUT, DELETE"
    assert receiver.call("DELETE", f"{base}/ssf/status").headers["Allow"] == "GET, POST"
    assert receiver.call("GET", f"{base}/ssf/poll").status_code == 405
    for query in ("stream_id=a&stream_id=b", "other=1", "stream_id=a&x=1"):
        assert receiver.call("GET", f"{base}/ssf/streams?{query}").status_code == 400
    for name in ("%00", "%ed%a0%80", "x" * 5000, "'; DROP TABLE event_streams--"):
        assert receiver.call("GET", f"{base}/ssf/streams?stream_id={name}").status_code in {400, 404}


def test_one_more_stream_than_allowed(receiver):
    for _ in range(MOST_STREAMS):
        receiver.create()
    answer = receiver.streams("POST", {})
    assert (answer.status_code, answer.json["error"]) == (409, "conflict")


def test_who_changes_its_streams_all_the_time_has_to_wait(world, receiver):
    world.http.application._table["/ssf/streams"].endpoint._access._clock = Tick()
    name = receiver.create()["stream_id"]
    answers = [receiver.streams("PATCH", {"stream_id": name}) for _ in range(PER_MINUTE)]
    assert [each.status_code for each in answers[:-1]] == [200] * (PER_MINUTE - 1)
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert events(world) == ["event_stream.created"]  # what changes nothing is not on record


def test_a_verification_and_its_interval(world, receiver):
    made = receiver.create()
    asked = {"stream_id": made["stream_id"], "state": "VGhpcyBpcw=="}
    url = receiver.discovered["verification_endpoint"]
    assert receiver.call("POST", url, asked).status_code == 204
    soon = receiver.call("POST", url, asked)
    assert (soon.status_code, soon.headers["Retry-After"]) == (429, str(VERIFICATION_SECONDS))
    (told,) = receiver.poll(made).values()
    assert told["events"] == {VERIFICATION: {"state": asked["state"]}}
    assert told["sub_id"] == {"format": "opaque", "id": made["stream_id"]}
    assert receiver.poll(made, ack=[told["jti"]]) == {}
    world.clock.at += VERIFICATION_SECONDS
    assert receiver.call("POST", url, {"stream_id": made["stream_id"]}).status_code == 204
    (told,) = receiver.poll(made).values()
    assert told["events"] == {VERIFICATION: {}}
    for state in (7, None, "x" * 1001):
        assert receiver.call("POST", url, {**asked, "state": state}).status_code == 400


def test_subjects_are_users_of_this_issuer(world, receiver):
    name = receiver.create()["stream_id"]
    remove, add = receiver.discovered["remove_subject_endpoint"], receiver.discovered["add_subject_endpoint"]
    subject = {"format": "iss_sub", "iss": receiver.issuer, "sub": "usr_1"}
    assert receiver.call("POST", remove, {"stream_id": name, "subject": subject}).status_code == 204
    assert receiver.call("POST", remove, {"stream_id": name, "subject": subject}).status_code == 204
    assert receiver.call("POST", add, {"stream_id": name, "subject": subject, "verified": True}).status_code == 200
    assert events(world)[1:] == ["event_stream.subject_removed", "event_stream.subject_added"]
    for bad in (None, "usr_1", {"format": "email", "email": "a@example.com"}, {"format": "iss_sub", "sub": "x"}):
        assert receiver.call("POST", remove, {"stream_id": name, "subject": bad}).status_code == 400
    for bad in ({**subject, "iss": "https://other.example.com"}, {**subject, "sub": "x" * 65}, {**subject, "sub": ""}):
        assert receiver.call("POST", remove, {"stream_id": name, "subject": bad}).status_code == 404
    assert MOST_SUBJECTS < 10_000  # they are all in one row


@BOTH
def test_the_operator_sees_and_switches_streams(world, receiver):
    made = receiver.create(description="Ledger")
    shell, name = Shell(world.app), made["stream_id"]
    (shown,) = shell.json("resource-servers", "streams", "list", "api")
    assert (shown["id"], shown["delivery"], shown["status"], shown["behind"]) == (name, "poll", "enabled", 0)
    reason = ("--reason", "Maintenance until noon")
    assert shell.json("resource-servers", "streams", "set-status", "api", name, "paused", *reason)["status"] == "paused"
    assert shell("resource-servers", "streams", "set-status", "api", name, "paused", *reason).code != 0
    status = receiver.call("GET", f"{receiver.discovered['status_endpoint']}?stream_id={name}").json
    assert status == {"stream_id": name, "status": "paused", "reason": "Maintenance until noon"}
    assert shell("resource-servers", "streams", "list", "nobody").code != 0
    assert shell.json("resource-servers", "streams", "delete", "api", name, "--yes") == {"id": name, "deleted": True}
    assert events(world) == ["event_stream.created", "event_stream.paused", "event_stream.deleted"]
