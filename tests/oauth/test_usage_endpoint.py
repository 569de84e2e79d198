"""Usage reports: what resource servers judged without asking counts, once, and revives nothing."""

import io
import json
import threading
import tracemalloc
import uuid

import pytest
from sqlalchemy import event

from authserver.actions import credentials, general_settings, resource_servers
from authserver.actions.report_usage import CLOCK_TOLERANCE, WINDOW
from authserver.oauth.http import BodyStream
from authserver.oauth.throttle import Buckets
from authserver.oauth.usage.endpoint import MAX_BYTES
from authserver.oauth.usage.report import MAX_USES, read_report
from authserver.store.tables import usage_reports
from tests.support.deadlines import join
from tests.support.wsgi_client import BACKENDS, WRONG_SECRET, basic, opened, parts

IDLE = 30 * 60


@pytest.fixture(params=BACKENDS)
def world(request, tmp_path):
    yield from opened(request.param, tmp_path)


def use(token, at, count=1, **members):
    return {
        "jti": parts(token)[1]["jti"],
        "at": at,
        "count": count,
        "method": "GET",
        "route": "/orders/{id}",
        **members,
    }


def report(world, uses, *, report_id=None, api=None, body=None, **headers):
    told = {"report_id": report_id or str(uuid.uuid4()), "uses": uses}
    content = json.dumps(told) if body is None else body
    headers = {"Content-Type": "application/json", **headers}
    if api != ():
        headers["Authorization"] = basic(*(api or world.api))
    return world.http.post("/oauth/usage", data=content, headers=headers)


def test_a_token_that_is_only_reported_stays_alive(world):
    token = world.access_token()
    for _ in range(5):
        world.clock.at += IDLE - 60
        answer = report(world, [use(token, world.clock.at - 20)])
        assert answer.json == {"accepted": 1, "dead": []}
    assert world.active(token)


def test_an_unused_token_is_told_dead_with_its_instant_and_nothing_revives_it(world):
    token = world.access_token()
    world.clock.at += IDLE + 5
    late = use(token, world.clock.at)
    assert report(world, [late]).json == {"accepted": 0, "dead": [{"jti": late["jti"], "ended_at": world.clock.at}]}
    ended = world.clock.at
    world.clock.at += 3
    again = report(world, [use(token, ended - 10)]).json
    assert again == {"accepted": 0, "dead": [{"jti": late["jti"], "ended_at": ended}]}
    assert not world.active(token)


def test_a_use_before_the_idle_end_counts_though_it_is_reported_after_it(world):
    token = world.access_token()
    issued = world.clock.at
    world.clock.at += IDLE + 30
    assert report(world, [use(token, issued + IDLE - 10)]).json == {"accepted": 1, "dead": []}
    assert world.active(token)


def test_a_dead_answer_stands_before_an_older_use_is_reported(world):
    token = world.access_token()
    issued = world.clock.at
    world.clock.at += IDLE + 30
    assert not world.active(token)
    answer = report(world, [use(token, issued + IDLE - 10)]).json
    assert (answer["accepted"], [each["jti"] for each in answer["dead"]]) == (0, [parts(token)[1]["jti"]])
    assert not world.active(token)


def test_a_report_sent_again_counts_once(world):
    token = world.access_token()
    name = str(uuid.uuid4())
    for _ in range(3):
        answer = report(world, [use(token, world.clock.at, 7)], report_id=name)
        assert answer.json == {"accepted": 7, "dead": []}
    assert counted(world, token) == 7


def test_a_report_sent_at_once_by_many_counts_once(world):
    token, name, answers = world.access_token(), str(uuid.uuid4()), []
    body = [use(token, world.clock.at, 5)]

    def send():
        answers.append(report(world, body, report_id=name).json)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        join(each)
    assert answers == [{"accepted": 5, "dead": []}] * 6
    assert counted(world, token) == 5


@pytest.mark.parametrize("change", ["count", "at", "jti", "method", "route", "more", "none"])
def test_an_id_that_comes_again_with_other_uses_is_refused_and_nothing_counts(world, change):
    token, name = world.access_token(), str(uuid.uuid4())
    first = use(token, world.clock.at, 7)
    changed = {"count": 8, "at": world.clock.at - 1, "jti": "x", "method": "PUT", "route": "/other"}
    other = {"more": [first, first], "none": []}.get(change) or [{**first, change: changed.get(change)}]
    other = [] if change == "none" else other
    assert report(world, [first], report_id=name).json["accepted"] == 7
    answer = report(world, other, report_id=name)
    assert (answer.status_code, answer.json["error"]) == (422, "report_id_reused")
    assert report(world, [first], report_id=name).json["accepted"] == 7
    assert counted(world, token) == 7


def test_a_report_that_the_version_before_took_is_told_again(world):
    token, name = world.access_token(), str(uuid.uuid4())
    assert report(world, [use(token, world.clock.at, 7)], report_id=name).json["accepted"] == 7
    with world.store.engine.begin() as connection:
        connection.execute(usage_reports.update().values(digest=None))
    assert report(world, [use(token, world.clock.at, 7)], report_id=name).json["accepted"] == 7
    assert counted(world, token) == 7


def long_report(world, token, number, report_id=None, pad=""):
    """A report of that many uses of one token, each with a route of its own and a long name."""
    uses = [use(token, world.clock.at, route=f"/{pad}orders/{index % 50}/{{id}}") for index in range(number)]
    return json.dumps({"report_id": report_id or str(uuid.uuid4()), "uses": uses}).encode()


def test_ten_thousand_uses_are_one_report(world):
    token = world.access_token()
    body = long_report(world, token, MAX_USES, pad="x" * 150)
    assert 2_500_000 < len(body) < MAX_BYTES
    assert report(world, [], body=body).json == {"accepted": MAX_USES, "dead": []}
    assert counted(world, token) == MAX_USES
    answer = report(world, [], body=long_report(world, token, MAX_USES + 1))
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert counted(world, token) == MAX_USES


def test_a_report_of_many_bytes_is_read_piece_by_piece(world):
    """In less memory than it is long: what is kept is the uses, with each route once."""
    token = world.access_token()
    body = long_report(world, token, MAX_USES, pad="x" * 150)
    tracemalloc.start()
    try:
        stream = BodyStream(io.BytesIO(body), len(body), MAX_BYTES)
        found = read_report(stream)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.uses) == MAX_USES
    assert most < 4_000_000


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_report_that_is_too_long_is_413(world, declared):
    body = b" " * (MAX_BYTES + 1)
    if declared:
        answer = report(world, [], body=body)
    else:
        headers = {"Authorization": basic(*world.api), "Content-Type": "application/json"}
        more = {"environ_overrides": {"wsgi.input_terminated": True}}
        answer = world.http.post("/oauth/usage", input_stream=io.BytesIO(body), headers=headers, **more)
    assert (answer.status_code, answer.json["error"]) == (413, "invalid_request")


def test_other_requests_are_as_short_as_before(world):
    assert world.post("/oauth/introspect", {"token": "x" * 70_000}, world.api).status_code == 413


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size=-1):
        raise AssertionError(size)


def test_the_body_is_read_only_when_it_is_known_who_sends_it(world):
    headers = {"Authorization": basic(world.api[0], WRONG_SECRET), "Content-Type": "application/json"}
    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": "3000000"}
    answer = world.http.post("/oauth/usage", headers=headers, environ_overrides=environ)
    assert answer.status_code == 401


def test_too_many_reports_are_429_and_later_taken(world, monkeypatch):
    endpoint = world.http.application._table["/oauth/usage"].endpoint
    now = [1000.0]
    monkeypatch.setattr(endpoint, "_clock", lambda: now[0])
    monkeypatch.setattr(endpoint, "_buckets", Buckets(6, 10))
    token = world.access_token()
    for _ in range(6):
        assert report(world, [use(token, world.clock.at)]).status_code == 200
    answer = report(world, [use(token, world.clock.at)])
    assert (answer.status_code, answer.json["error"]) == (429, "temporarily_unavailable")
    now[0] += int(answer.headers["Retry-After"])
    assert report(world, [], body=long_report(world, token, 500)).status_code == 200
    answer = report(world, [])
    assert (answer.status_code, 40 < int(answer.headers["Retry-After"]) <= 60) == (429, True)


SPACES = '  {{ \n"uses"\t: [ {use} ,\r\n {use} ] , "report_id" : "{name}" }}  '


def test_members_come_in_any_order_and_spaces_where_json_has_them(world):
    token = world.access_token()
    body = SPACES.format(use=json.dumps(use(token, world.clock.at)), name=uuid.uuid4())
    assert report(world, [], body=body).json["accepted"] == 2


NO_REPORTS = [
    '{"report_id":"NAME","uses":[]}x', '{"report_id":"NAME","uses":[],"x":1}', '{"report_id":"NAME","uses":[USE,]}',
    '{"report_id":"NAME","uses":[USE USE]}', '{"report_id":"NAME","uses":[USE', '{"report_id":"NAME","uses":{}}',
    '{"report_id":"NAME"}', '{"uses":[USE],"uses":[]}', '{"report_id":"NAME","report_id":"NAME"}',
    '{"report_id":"NAME" "uses":[]}', '{"report_id":"NAME","uses":[[USE]]}', '{"report_id":"NAME","uses":[null]}',
    '{"report_id":"NAME","uses":[LONG]}', '{"report_id":"NAME","uses":[DEEP]}', '{report_id:"NAME","uses":[]}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_REPORTS)
def test_what_is_nearly_a_report_is_a_bad_request_and_nothing_counts(world, text):
    token = world.access_token()
    good = use(token, world.clock.at)
    body = text.replace("NAME", str(uuid.uuid4())).replace("USE", json.dumps(good))
    body = body.replace("LONG", json.dumps({**good, "route": "/" + "x" * 5000}))
    body = body.replace("DEEP", '{"jti":' * 600 + "1" + "}" * 600)
    assert report(world, [], body=body).status_code == 400
    assert counted(world, token) == 0


def test_the_same_id_of_another_resource_server_is_another_report(world):
    other = resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    token, theirs = world.access_token(), world.access_token(resource="https://other.example.com")
    name = str(uuid.uuid4())
    assert report(world, [use(token, world.clock.at)], report_id=name).json["accepted"] == 1
    told = report(world, [use(theirs, world.clock.at)], report_id=name, api=(other.server.client_id, other.secret))
    assert told.json["accepted"] == 1


def test_tokens_of_other_audiences_and_unknown_ones_are_passed_over_in_silence(world):
    resource_servers.register_resource_server(
        world.accounts, "other", "https://other.example.com", pepper=world.store.pepper, **world.who
    )
    theirs = world.access_token(resource="https://other.example.com")
    unknown = use(theirs, world.clock.at, jti="never-issued")
    assert report(world, [use(theirs, world.clock.at), unknown]).json == {"accepted": 0, "dead": []}
    assert counted(world, theirs) == 0


def test_what_was_switched_off_is_told_dead(world):
    token = world.access_token()
    credentials.disable(world.accounts, world.client[0], **world.who)
    answer = report(world, [use(token, world.clock.at)]).json
    assert (answer["accepted"], len(answer["dead"])) == (0, 1)


def test_a_token_older_than_a_shorter_longest_lifetime_is_told_dead(world):
    """The change feed cannot tell it: the ``exp`` in the token does not move."""
    token = world.access_token()
    for _ in range(3):
        world.clock.at += IDLE - 1
        assert world.active(token)
    general_settings.set_general(world.accounts, "max_token_lifetime_minutes", "60", **world.who)
    answer = report(world, [use(token, world.clock.at)]).json
    assert [each["jti"] for each in answer["dead"]] == [parts(token)[1]["jti"]]


def test_a_use_of_long_ago_does_not_count(world):
    token = world.access_token()
    for _ in range(4):
        world.clock.at += IDLE - 1
        assert world.active(token)
    assert report(world, [use(token, world.clock.at - WINDOW - 1)]).json["accepted"] == 0
    assert report(world, [use(token, world.clock.at - WINDOW)]).json["accepted"] == 1


def test_a_use_never_moves_the_last_one_back(world):
    token = world.access_token()
    began = world.clock.at
    world.clock.at += 600
    assert world.active(token)
    assert report(world, [use(token, began + 300)]).json["accepted"] == 1
    world.clock.at = began + 600 + IDLE - 1
    assert world.active(token)


@pytest.mark.parametrize(
    "change",
    [
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 65},
        {"jti": "a\u0000b"},
        {"at": -1},
        {"at": 1.5},
        {"at": True},
        {"at": 2**60},
        {"count": 0},
        {"count": "1"},
        {"method": None},
        {"route": 5},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_report_with_one_bad_use_is_refused_whole(world, change):
    token = world.access_token()
    answer = report(world, [use(token, world.clock.at), {**use(token, world.clock.at), **change}])
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert counted(world, token) == 0


@pytest.mark.parametrize("change", [{}, {"jti": "never-issued"}], ids=["known", "unknown"])
def test_a_use_in_the_future_is_refused_and_its_report_may_be_mended(world, change):
    token, name = world.access_token(), str(uuid.uuid4())
    future = {**use(token, world.clock.at + CLOCK_TOLERANCE + 1), **change}
    answer = report(world, [use(token, world.clock.at), future], report_id=name)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert counted(world, token) == 0
    assert report(world, [use(token, world.clock.at)], report_id=name).json["accepted"] == 1


def test_a_report_sent_again_tells_what_died_since_and_lets_nothing_count_for_it(world):
    token, name = world.access_token(), str(uuid.uuid4())
    first = [use(token, world.clock.at)]
    assert report(world, first, report_id=name).json == {"accepted": 1, "dead": []}
    world.clock.at += IDLE
    again = report(world, first, report_id=name).json
    assert again == {"accepted": 1, "dead": [{"jti": parts(token)[1]["jti"], "ended_at": world.clock.at}]}
    assert counted(world, token) == 1
    assert not world.active(token)


def test_a_report_is_judged_and_written_in_one_transaction(world):
    token, commits = world.access_token(), []
    assert report(world, [use(token, world.clock.at)]).status_code == 200  # what this process issued is on record now

    def note(connection):
        commits.append(connection)

    event.listen(world.store.engine, "commit", note)
    try:
        assert report(world, [use(token, world.clock.at)]).json["accepted"] == 1
    finally:
        event.remove(world.store.engine, "commit", note)
    assert len(commits) == 1


def test_a_use_by_a_clock_that_is_ahead_counts_as_of_now(world):
    """Resource servers know the time of a node, which may differ from the database's."""
    token, began = world.access_token(), world.clock.at
    assert report(world, [use(token, began + CLOCK_TOLERANCE)]).json["accepted"] == 1
    world.clock.at = began + IDLE
    assert not world.active(token)


def test_uses_in_one_report_keep_a_token_alive_from_each_to_the_next(world):
    token, began = world.access_token(), world.clock.at
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1", **world.who)
    world.clock.at = began + 150
    gaps = [use(token, began + after, route=f"/{after}") for after in (140, 50, 95)]
    assert report(world, gaps).json == {"accepted": 3, "dead": []}
    assert world.active(token)


def test_a_gap_between_uses_in_one_report_is_not_bridged(world):
    token, began = world.access_token(), world.clock.at
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1", **world.who)
    world.clock.at = began + 150
    gaps = [use(token, began + after, route=f"/{after}") for after in (140, 50)]
    answer = report(world, gaps).json
    assert (answer["accepted"], [each["jti"] for each in answer["dead"]]) == (1, [gaps[0]["jti"]])
    assert not world.active(token)


def test_many_deaths_in_one_report_are_written_before_they_are_told(world):
    texts = [world.access_token() for _ in range(60)]
    world.clock.at += IDLE
    answer = report(world, [use(text, world.clock.at) for text in texts]).json
    assert len(answer["dead"]) == 60
    general_settings.set_general(world.accounts, "idle_timeout_minutes", "1440", **world.who)
    assert not any(world.active(text) for text in texts)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        '"x"',
        "[" * 9000,
        '{"report_id":"1","report_id":"1","uses":[]}',
        '{"uses":[NaN]}',
        '{"uses":[]}',
        '{"report_id":"1","uses":[]}',
        '{"report_id":null,"uses":[]}',
        "\ud800",
    ],
)
def test_what_is_no_report_is_a_bad_request(world, body):
    assert report(world, [], body=body.encode("utf-8", "surrogatepass")).status_code == 400


def test_a_member_twice_is_refused_and_nothing_counts(world):
    token = world.access_token()
    twice = json.dumps(use(token, world.clock.at)).replace('"count": 1', '"count": 1, "count": 900')
    body = f'{{"report_id": "{uuid.uuid4()}", "uses": [{twice}]}}'
    assert "900" in body
    assert report(world, [], body=body).status_code == 400
    assert counted(world, token) == 0


def test_a_report_is_json_and_nothing_else(world):
    answer = report(world, [], **{"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.json["error"]) == (415, "invalid_request")


def test_only_resource_servers_report(world):
    token = world.access_token()
    uses = [use(token, world.clock.at)]
    responses = set()
    for api in (world.client, (world.api[0], WRONG_SECRET), ("nobody", world.api[1]), (world.api[0], "x")):
        answer = report(world, uses, api=api)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        responses.add(answer.get_data())
    assert len(responses) == 1
    assert report(world, uses, api=()).status_code == 401
    assert counted(world, token) == 0


def test_INV_25_the_database_away_is_503(world, monkeypatch):
    from authserver.ports.errors import Unavailable

    def away(*_args):
        msg = "the database cannot be reached now"
        raise Unavailable(msg)

    token = world.access_token()
    monkeypatch.setattr(type(world.store.usage_reports), "take", away)
    assert report(world, [use(token, world.clock.at)]).status_code == 503


def counted(world, token):
    """How many uses of the token's credential are on record."""
    from sqlalchemy import func, select

    from authserver.store.tables import usage

    world.store.usage.flush()
    with world.store.engine.connect() as connection:
        mine = usage.c.client_id == parts(token)[1]["client_id"]
        return connection.execute(select(func.coalesce(func.sum(usage.c.uses), 0)).where(mine)).scalar_one()
