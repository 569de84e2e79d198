"""What operators see: log lines, metrics, health, error pages, and the book of refusals."""

import io
import json
import logging
import os
import re
import sys
import threading
import types
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from werkzeug.test import Client

from app import create_app
from authserver.actions import resource_servers
from authserver.actions.security_log import PER_MINUTE, SecurityLog
from authserver.audit import Event
from authserver.config import Config
from authserver.instrumentation import Instrumentation
from authserver.ports.errors import Unavailable
from authserver.telemetry.access_log import AccessLog, RequestFacts, RequestLine, text_renderer
from authserver.telemetry.logs import as_text, configure, logger
from authserver.telemetry.metrics import GAUGES, Metrics
from authserver.telemetry.redaction import redact, redact_event
from tests.support import databases
from tests.support.deadlines import join
from tests.support.wsgi_client import basic

SECRET = "acs_" + "a1B2c3D4e5" * 4 + "0AbCdE"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJl"
HOSTILE = {
    "CR LF": 'a\r\n{"at":"now","level":"info","event":"forged"}',
    "U+2028": "a\u2028b\u2029c\x85d",
    "ANSI": "\x1b[2J\x1b[31mred\x9b0m\x07",
    "quotes": '","level":"info","event":"forged',
    "bidi": "\u202etxt.exe\u2066\u200f\ufeff",
    "NUL": "\0\x08\x7f",
    "surrogate": "\ud800",
    "long": "x y " * 5_000,
}


@pytest.fixture
def written(monkeypatch):
    """Standard error as the JSON writer sees it."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr(sys, "stderr", stream)
    configure("info")
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def one_line(text):
    """The one well-formed event in ``text``."""
    assert text.endswith("\n")
    assert text.count("\n") == len(text.splitlines()) == 1
    assert re.fullmatch(r"[ -~\x7f]+\n", text), "a terminal would do something else than show it"
    assert len(text) < 2_000
    event = json.loads(text)
    assert isinstance(event, dict)
    return event


# --- one line an event, whatever is in it (T-177, INV-20) ------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["value", "key", "nested", "name", "library", "fault"])
def test_t177_a_log_line_is_one_line(written, where, hostile):
    if where == "value":
        logger().info("thing_happened", field=hostile)
    elif where == "key":
        logger().info("thing_happened", **{hostile: 1})
    elif where == "nested":
        logger().info("thing_happened", field={hostile: [hostile, (hostile,)]})
    elif where == "name":
        logger().info(hostile)
    elif where == "library":
        logging.getLogger("some.package").warning("got %s", hostile)
    else:
        logger().error("request_failed", exc_info=RuntimeError(hostile))
    event = one_line(written.getvalue())
    assert event["level"] in {"info", "warning", "error"}
    assert event["event"] != "forged"


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_t177_a_request_line_is_one_line(hostile):
    sink = io.StringIO()
    log = AccessLog(sink)
    log.write({"event": "request", "client": hostile, "status": 401})
    log.close()
    assert one_line(sink.getvalue())["event"] == "request"


@pytest.mark.parametrize("hostile", ["plain", *HOSTILE.values()], ids=["plain", *HOSTILE])
def test_the_line_of_a_request_says_the_same_as_its_values(hostile):
    facts = RequestFacts("token", hostile[:16], 401, hostile, "invalid_client", "wrong_secret", hostile, hostile)
    lines = [
        RequestLine(1764150000.25, "warning", given, "5a0c5a0c5a0c5a0c", 0.001944, told)
        for given in ("", "trace-1.2:3", SECRET)
        for told in (facts, facts, facts._replace(detail=""), facts._replace(outcome="", reason="", client=""))
    ]
    sink, plain = io.StringIO(), io.StringIO()
    for log in (AccessLog(sink), AccessLog(plain)):
        if log._sink is sink:
            log.write_requests(lines)
        else:
            for at, level, values in (line.as_line() for line in lines):
                log.write(values, level, at)
        log.close()
    told = [one_line(line) for line in sink.getvalue().splitlines(keepends=True)]
    assert told == [one_line(line) for line in plain.getvalue().splitlines(keepends=True)]
    assert len(told) == len(lines)
    assert (told[0]["at"], told[0]["ms"]) == ("2025-11-26T09:40:00.250Z", 1.94)
    assert SECRET not in sink.getvalue()


def test_request_lines_that_find_no_room_are_counted():
    sink = io.StringIO()
    log = AccessLog(sink)
    log.wake = lambda: None
    line = RequestLine(0.0, "info", "", "5a0c", 0.0, RequestFacts("token", "POST", 200, "::1", "granted", "", "", ""))
    log.write_requests([line] * 20_003)
    log.flush()
    events = [json.loads(text) for text in sink.getvalue().splitlines()]
    assert [len(events), events[-1]["event"], events[-1]["count"]] == [20_001, "request_lines_dropped", 3]


@pytest.mark.parametrize(
    ("least", "told"),
    [("debug", "info warning error"), ("info", "info warning error"), ("warning", "warning error"), ("error", "error")],
)
def test_a_request_line_below_the_level_is_not_written(least, told):
    sink = io.StringIO()
    log = AccessLog(sink, least)
    for level in ("info", "warning", "error"):
        log.write({"event": "request"}, level)
    log.close()
    assert [json.loads(line)["level"] for line in sink.getvalue().splitlines()] == told.split()


def test_refusals_are_warnings_and_faults_are_errors(world, monkeypatch, capsys):
    token = world.access_token()
    assert world.active(token)
    world.introspect("no token")
    world.token((world.client[0], "acs_wrong"))
    monkeypatch.setattr(world.store.thread_connections, "run", unreachable)
    world.introspect(token)
    world.services.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    noted = [(line["status"], line["level"]) for line in lines if line["event"] == "request"]
    assert noted == [(200, "info"), (200, "info"), (200, "info"), (401, "warning"), (503, "error")]


def unreachable(*_args):
    msg = "the database cannot be reached now"
    raise Unavailable(msg)


def test_t177_nothing_a_caller_sends_breaks_a_line(world, capsys):
    names = ("HTTP_X_REQUEST_ID", "HTTP_USER_AGENT", "HTTP_AUTHORIZATION", "QUERY_STRING")
    token, sent = world.access_token(), 1
    for hostile in HOSTILE.values():
        text = hostile.replace("\ud800", "")
        raw = {"REMOTE_ADDR": "127.0.0.1", **dict.fromkeys(names, text.encode().decode("latin-1"))}
        form = dict.fromkeys(("client_id", "client_secret", "token", "http_route", "scope"), text)
        for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
            answer = world.http.post(path, data=form, environ_overrides=raw)
            assert answer.status_code in {400, 401, 431}
            assert "X-Request-Id" not in answer.headers
        assert world.introspect(token, http_route=text[:300]).status_code in {200, 400}
        sent += 4
    world.services.close()
    lines = capsys.readouterr().err.splitlines(keepends=True)
    assert len(lines) == sent
    for line in lines:
        assert one_line(line)["event"] == "request"


# --- no secret, no token (T-175, INV-20) ------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.replace("acs", "acv"),
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        "authorization: basic " + "Y2xpZW50OnNlY3JldA==",
        "grant_type=client_credentials&client_secret=open-sesame&scope=a",
        "password=open-sesame",
        "Bearer " + "q" * 1_000_000,
        "q" * 1_000_000,
        ("word " * 200) + SECRET,
    ],
)
def test_what_looks_like_a_secret_is_not_written(text):
    clean = redact(text)
    assert not re.search("a1B2|eyJ|Y2xp|sesame|qqqqq", clean)
    assert len(clean) <= 600


def test_what_is_no_secret_is_written():
    kid, jti, digest = "k" * 43, "j" * 24, "0123456789abcdef" * 4
    plain = f"client 0b7c2a52-5d0e-4f0a-9f38-2b1f3f3c9a10 kid {kid} jti {jti} hash {digest} token_type=Bearer"
    assert redact(plain) == plain
    assert redact_event(None, "info", {"count": 3, "ok": True, "none": None}) == {"count": 3, "ok": True, "none": None}


def test_t175_a_megabyte_of_bearer_leaves_a_short_line_without_it(world, capsys):
    huge = "QZ7" * 350_000
    for path in ("/oauth/token", "/oauth/introspect", "/oauth/revoke"):
        for raw in (
            {"HTTP_AUTHORIZATION": f"Bearer {huge}"},
            {"HTTP_AUTHORIZATION": f"Basic {huge}"},
            {"HTTP_X_REQUEST_ID": huge},
            {"QUERY_STRING": f"token={huge}"},
            {"REQUEST_METHOD": huge},
        ):
            assert world.http.post(path, environ_overrides=raw).status_code in {400, 401, 405, 431}
        answer = world.post(path, {"token": huge}, world.api)
        assert answer.status_code == 413
        assert "QZ7" not in answer.text
    world.services.close()
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 18
    assert max(map(len, text.splitlines())) < 2_000
    assert "QZ7QZ7QZ7" not in text.replace(huge[:16], "", 3), "the method alone may show, and 16 characters of it"


def test_requests_leave_no_secret_behind(world, capsys):
    token = world.access_token()
    world.introspect(token)
    world.introspect(token[:-2] + "xx")
    world.token((world.client[0], world.api[1].replace("acv", "acs")))
    world.post("/oauth/revoke", {"token": token}, world.client)
    world.services.close()
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["outcome"] for line in lines] == ["granted", "active", "inactive", "invalid_client", "revoked"]
    assert all(re.fullmatch("[0-9a-f]{16}", line["request_id"]) for line in lines)
    for part in (*token.split("."), world.client[1], world.api[1]):
        assert part not in text


def test_a_fault_is_logged_without_the_values_around_it(written):
    def fail(password):
        raise RuntimeError("no luck")

    try:
        fail("open-sesame")
    except RuntimeError as error:
        logger().error("request_failed", exc_info=error)
    event = one_line(written.getvalue())
    assert event["error"] == "RuntimeError: no luck"
    assert event["lines"][-1].endswith(" fail")
    assert "sesame" not in written.getvalue()


def test_a_fault_of_the_database_is_logged_without_the_values_of_its_statement(world, written):
    with world.store.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT nonsense FROM nowhere WHERE a = :value"), {"value": "open-sesame"})
    logger().error("request_failed", exc_info=caught.value)
    assert "nowhere" in one_line(written.getvalue())["error"]
    assert "sesame" not in written.getvalue()


def test_libraries_that_would_log_tokens_are_silenced(written):
    configure("debug")
    logging.getLogger("authlib.oauth2").debug("Create token: %r", {"access_token": TOKEN})
    assert written.getvalue() == ""


def test_a_request_id_that_is_plain_is_kept(world, capsys):
    answer = world.post("/oauth/token", {}, **{"X-Request-Id": "trace-1.2:3"})
    assert answer.headers["X-Request-Id"] == "trace-1.2:3"
    world.services.close()
    assert json.loads(capsys.readouterr().err)["request_id"] == "trace-1.2:3"


# --- the request log never holds anybody up ----------------------------------------------------------


def test_closing_writes_what_is_pending():
    sink = io.StringIO()
    log = AccessLog(sink)
    for number in range(3):
        log.write({"event": "request", "number": number})
    log.close()
    assert [json.loads(line)["number"] for line in sink.getvalue().splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("lines", [10, 60_000])
def test_a_blocked_sink_blocks_nobody_and_what_was_dropped_is_counted(lines):
    reading, writing = os.pipe()
    with open(writing, "w", encoding="ascii") as sink, open(reading, encoding="ascii") as out:  # noqa: PTH123 - pipes
        sink.write("x" * 65_535 + "\n")  # the pipe is full now
        sink.flush()
        log = AccessLog(sink)
        for _ in range(lines):
            log.write({"event": "request"})
        log.close()
        told: list[str] = []
        reader = threading.Thread(target=lambda: told.extend(out))
        reader.start()
        assert log._thread is not None
        join(log._thread)
        sink.close()
        join(reader)
    events = [json.loads(line) for line in told[1:]]
    dropped = sum(event["count"] for event in events if event["event"] == "request_lines_dropped")
    assert (dropped > 0) == (lines == 60_000)
    assert sum(event["event"] == "request" for event in events) + dropped == lines


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_of_a_fault_is_replaced():
    sink, faults = io.StringIO(), [OSError("no space left for numbers")]
    log = AccessLog(sink)
    log.before_writing(lambda: faults and (_ for _ in ()).throw(faults.pop()))
    log.write({"event": "request", "number": 1})
    assert log._thread is not None
    log._thread.join(10)
    assert not faults
    assert not sink.getvalue()
    log.write({"event": "request", "number": 2})
    log.close()
    assert [json.loads(line)["number"] for line in sink.getvalue().splitlines()] == [1, 2]


@pytest.mark.parametrize("most", [10_000, 2])
def test_a_blocked_sink_keeps_no_number_back(world, monkeypatch, most):
    monkeypatch.setattr("authserver.instrumentation._MAX_BUFFERED", most)
    reading, writing = os.pipe()
    with open(writing, "w", encoding="ascii") as sink, open(reading, encoding="ascii") as out:  # noqa: PTH123 - pipes
        sink.write("x" * 65_535 + "\n")  # the pipe is full now
        sink.flush()
        observer = world.services._observer
        observer._log._sink = sink
        world.access_token()
        observer._log._thread.join(0.5)  # by now it waits for the pipe
        for _ in range(4):
            world.access_token()
        numbers = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).text
        assert 'oauth_token_requests_total{grant_type="client_credentials",outcome="granted",reason=""} 5.0' in numbers
        reader = threading.Thread(target=out.read)
        reader.start()
        world.services.close()
        sink.close()
        join(reader)


def test_a_broken_sink_is_survived_and_its_lines_counted():
    broken, good = io.StringIO(), io.StringIO()
    broken.close()
    log = AccessLog(broken)
    log.write({"event": "request"})
    log.write({"event": "request"})
    log.flush()
    assert not log._pending
    log._sink = good
    log.close()
    assert one_line(good.getvalue())["count"] == 2


# --- metrics --------------------------------------------------------------------------------------------

HARMLESS = re.compile(r"[A-Za-z0-9_.]{0,32}")


def exposition(world, **environ):
    answer = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1", **environ})
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def number(families, name, **labels):
    family = families[name]
    return sum(
        sample.value
        for sample in family.samples
        if sample.name in {name, f"{name}_total", f"{name}_count"} and labels.items() <= sample.labels.items()
    )


def test_metrics_count_what_happened(world):
    token = world.access_token()
    world.introspect(token)
    world.introspect("nonsense")
    world.token(("nobody", "nothing"))
    world.post("/oauth/revoke", {"token": token}, world.client)
    world.http.get("/.well-known/jwks.json")
    world.store.usage.flush()
    families = exposition(world)
    assert number(families, "oauth_token_requests", outcome="granted") == 1
    assert number(families, "oauth_token_requests", outcome="invalid_client") == 1
    assert number(families, "oauth_token_request_duration_seconds") == 2
    assert number(families, "oauth_introspection_requests", active="true") == 1
    assert number(families, "oauth_introspection_requests", active="false") == 1
    assert number(families, "oauth_client_auth_failures") == 1
    assert number(families, "oauth_revocation_requests", outcome="revoked") == 1
    assert number(families, "oauth_jwks_requests", status="200") == 1
    assert number(families, "oauth_credentials", state="live") == 1
    assert number(families, "oauth_tokens_ended", reason="revoked") == 1
    assert number(families, "oauth_signing_key_age_seconds", alg="ES256", state="active") == 0
    assert set(GAUGES) <= families.keys()


def test_labels_hold_nothing_a_caller_chose(world):
    chosen = "CallerChosen"
    for path in ("/oauth/token", "/OAuth/Token", "/oauth/introspect", "/oauth/revoke", f"/{chosen}"):
        for auth in (None, (chosen, chosen), world.client, world.api):
            form = dict.fromkeys(("token", "scope", "resource", "http_route", "http_method"), chosen)
            world.post(path, form, auth)
            world.post(path, {**form, "grant_type": "client_credentials"}, auth)
            world.post(path, {"grant_type": chosen}, auth)
            world.http.open(path, method=chosen.upper())
    families = exposition(world)
    assert chosen.lower() not in str(families).lower()
    for family in families.values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or HARMLESS.fullmatch(value), (sample.name, label, value)
                assert value != world.client[0]


def test_metrics_outlive_the_census(written):
    def gauges():
        return {"oauth_build_info": {("1",): 1.0}}

    families = {f.name for f in text_string_to_metric_families(Metrics(gauges).exposition().decode())}
    assert {"oauth_token_requests", "oauth_build_info"} <= families


def test_metrics_are_for_the_configured_networks_only(world):
    for peer in ("192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "", "unix:"):
        answer = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": peer})
        assert answer.status_code == 404, peer
        assert answer.json["error"] == "not_found"
    for peer in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        exposition(world, REMOTE_ADDR=peer)


def test_metrics_are_not_told_through_a_proxy(world):
    local = {"REMOTE_ADDR": "127.0.0.1"}
    for mark in ("X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host", "Forwarded", "Via", "X-Real-IP"):
        answer = world.http.get("/metrics", headers={mark: "127.0.0.1"}, environ_overrides=local)
        assert answer.status_code == 404, mark


# --- health ---------------------------------------------------------------------------------------------------


def lose(world):
    """Take the database away from under a serving process."""
    if world.store.engine.dialect.name == "postgresql":
        databases.drop(world.url)
        return
    path = Path(world.store.engine.url.database)
    world.store.thread_connections.close()
    world.store.engine.dispose()
    for each in path.parent.glob(path.name + "*"):
        each.unlink()


def test_health_with_a_database(world):
    assert world.http.get("/livez").json == {"status": "ok"}
    answer = world.http.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_health_without_a_database(world, written):
    token = world.access_token()
    world.store.usage.flush()
    world.http.get("/metrics")
    lose(world)
    assert world.http.get("/livez").json == {"status": "ok"}
    answer = world.http.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"failing": ["database"], "status": "unavailable"})
    assert world.introspect(token).status_code == 503
    families = exposition(world)
    assert number(families, "http_server_errors", status="503") == 1


def test_T_167_a_node_whose_clock_is_far_off_is_not_ready(world):
    def failing_sink(*_):
        raise Unavailable("this machine's clock is 31 s away from the database's")

    world.clock.now = failing_sink
    assert world.http.get("/readyz").status_code == 503
    assert world.http.get("/livez").status_code == 200


def test_before_it_serves_it_lives_but_is_not_ready(tmp_path):
    http = Client(plain_app(tmp_path))
    assert http.get("/livez").status_code == 200
    answer = http.get("/readyz")
    assert (answer.status_code, json.loads(answer.text)["failing"]) == (503, ["server"])
    assert http.get("/metrics").status_code == 404


# --- error pages --------------------------------------------------------------------------------------------------


def plain_app(tmp_path, **views):
    app = create_app(Config(database_url=f"sqlite:///{tmp_path}/none.db"), background=False)
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view)
    return app


def explode():
    local = "open-sesame"
    raise RuntimeError(f"broke near {SECRET}{local[:0]}")


def away():
    raise Unavailable("the database cannot be reached now")


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (("GET", "/nothing"), 404, "not_found"),
        (("GET", "/" + "a" * 100_000), 404, "not_found"),
        (("GET", "/%00"), 404, "not_found"),
        (("GET", "/%ff%fe"), 404, "not_found"),
        (("GET", "/../../etc/passwd"), 404, "not_found"),
        (("GET", "/livez/"), 404, "not_found"),
        (("POST", "/livez"), 405, "invalid_request"),
        (("DELETE", "/"), 405, "invalid_request"),
        (("TRACE", "/livez"), 405, "invalid_request"),
        (("NONSENSE", "/readyz"), 405, "invalid_request"),
        (("GET", "/explode"), 500, "server_error"),
        (("GET", "/away"), 503, "temporarily_unavailable"),
    ],
)
def test_every_error_is_json_with_headers_and_without_a_trace(tmp_path, written, ask, status, code):
    http = Client(plain_app(tmp_path, explode=explode, away=away))
    method, path = ask
    answer = http.open(path, method=method)
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    told = json.loads(answer.text)
    assert told["error"] == code
    assert told["error_description"]
    assert not re.search(r"Traceback|File |RuntimeError|werkzeug|acs_|\.py", answer.text)
    assert "passwd" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert ("Allow" in answer.headers) == (status == 405)
    assert ("Retry-After" in answer.headers) == (status == 503)
    if status == 500:
        event = one_line(written.getvalue())
        assert event["lines"][-1].endswith("explode")
        assert not re.search("sesame|a1B2", written.getvalue())


def test_the_front_page_leads_on(tmp_path):
    answer = Client(plain_app(tmp_path)).get("/", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    assert "evil" not in answer.text


# --- the book of refusals (PRODUCT.md §2.14) ---------------------------------------------------------------------


@pytest.fixture
def security_log(world):
    security_log = SecurityLog(world.accounts, lambda: world.clock.at)
    yield security_log
    security_log.close()


def refused(world):
    return [record for record in world.accounts.audit_records() if record.event.endswith(".refused")]


def test_the_first_of_each_kind_per_caller_and_minute(world, security_log):
    def note(endpoint="token", reason="wrong_secret", client="", peer="192.0.2.1", minute=1):
        return security_log.record(endpoint, reason, client=client, peer=peer, minute=minute)

    assert note()
    assert not note()
    assert note(endpoint="revocation")
    assert note(reason="secret_ended")
    assert note(peer="192.0.2.2")
    assert note(client=world.client[0])
    assert not note(client=world.client[0], peer="192.0.2.9"), "one client is one caller, wherever it calls from"
    assert note(minute=2)
    security_log.close()
    records = refused(world)
    assert len(records) == 6
    assert (records[0].event, records[0].actor, records[0].target) == ("token.refused", "peer:192.0.2.1", "-")
    assert json.loads(records[0].detail) == {"reason": "wrong_secret"}
    assert world.accounts.audit_verify().first_bad is None


def test_a_flood_does_not_reach_the_audit(world, security_log):
    peers = [f"10.{number >> 8 & 255}.{number & 255}.1" for number in range(10_000)]
    assert (
        sum(security_log.record("token", "wrong_secret", client="", peer=peer, minute=1) for peer in peers)
        == PER_MINUTE
    )
    assert sum(security_log.record("token", "wrong_secret", client="", peer=peer, minute=2) for peer in peers[:9]) == 9
    security_log.close()
    assert len(refused(world)) == PER_MINUTE + 9


def test_made_up_client_ids_are_one_caller(world, security_log):
    for reason in ("unknown_client", "malformed_secret", "malformed_client_id"):
        first, *others = [
            security_log.record("token", reason, client=f"id-{number}", peer="192.0.2.1", minute=1)
            for number in range(100)
        ]
        assert first
        assert not any(others)


def test_noting_waits_for_no_database(world, security_log):
    with world.accounts.change(Event("test.held", "test", "lock"), world.clock.at):
        assert security_log.record("token", "wrong_secret", client="", peer="192.0.2.1", minute=1)
        assert refused(world) == []
    security_log.close()
    assert len(refused(world)) == 1


def test_refusals_of_all_doors_reach_it(world):
    observer: Instrumentation = world.http.application._observe.__self__
    wrong = world.api[1].replace("acv", "acs")
    world.token((world.client[0], wrong))
    world.token(("0b7c2a52-5d0e-4f0a-9f38-2b1f3f3c9a10", world.client[1]))
    world.token(scope="administrator")
    world.token(resource="https://other.example")
    world.introspect("x", world.client)
    world.post("/oauth/revoke", {"token": "x"}, world.api)
    observer.close()
    records = refused(world)
    assert {record.event for record in records} == {"token.refused", "introspection.refused", "revocation.refused"}
    assert len(records) == 6
    text = "".join(record.detail + record.target + record.actor for record in records)
    assert wrong not in text
    assert world.client[1] not in text


def test_a_person_at_a_terminal_gets_one_short_line_per_request():
    sink = io.StringIO()
    log = AccessLog(sink, render=text_renderer(colours=False))
    values = {"event": "request", "request_id": "a1", "endpoint": "token", "method": "POST", "status": 200, "ms": 8.4}
    log.write({**values, "peer": "192.0.2.1", "outcome": "granted", "client": "c\x1b[2J\u202e\n"})
    log.write({**values, "status": 503, "outcome": "temporarily_unavailable"}, "error")
    log.close()
    log.flush()
    first, second = sink.getvalue().splitlines()
    assert first[8:].startswith(" POST token 200 8 ms granted peer=192.0.2.1 client=c")
    assert "\u202e" not in first
    assert second.endswith("POST token 503 8 ms temporarily_unavailable")


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("name", ["client", "reason", "peer", "route", "outcome", "method"])
def test_a_short_line_holds_no_secret_and_no_escape_sequence_of_a_caller(name, colours):
    sink = io.StringIO()
    log = AccessLog(sink, render=text_renderer(colours=colours))
    log.write({"event": "request", "status": 401, name: f"\x1b[2J\x9b31m{SECRET} {TOKEN}\r\n"}, "warning")
    log.close()
    line = one_line_of_text(sink.getvalue())
    assert SECRET not in line
    assert TOKEN not in line
    assert "\x9b" not in line
    assert "\x1b[2J" not in line


def one_line_of_text(written):
    assert written.endswith("\n")
    (line,) = written.splitlines()
    return line


@pytest.mark.parametrize(
    ("log_format", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("text", False, True)],
)
def test_the_format_of_log_lines(monkeypatch, log_format, terminal, text):
    monkeypatch.setattr("sys.stderr", types.SimpleNamespace(isatty=lambda: terminal))
    assert as_text(log_format) is text


def test_metrics_count_reports_fetches_of_the_feed_gateways_and_leases(world):
    headers = {"Authorization": basic(*world.api)}
    server = next(each for each in world.accounts.resource_servers() if each.client_id == world.api[0])
    resource_servers.bound_staleness(world.accounts, server.name, 20, **world.who)
    token = world.access_token()
    world.introspect(token)
    world.http.post("/oauth/usage", data="{}", headers=headers, content_type="application/json")
    world.http.get("/oauth/changes", headers=headers)
    gateway = {"X-Gateway-Authorization": basic(*world.api), "Authorization": f"Bearer {token}"}
    assert world.http.get("/oauth/forward-auth", headers=gateway).status_code == 204
    families = exposition(world)
    assert number(families, "oauth_usage_reports", outcome="invalid_request") == 1
    assert number(families, "oauth_change_feed_requests", outcome="changes") == 1
    assert number(families, "oauth_forward_auth_requests", outcome="active") == 1
    assert number(families, "oauth_leases", endpoint="introspection") == 1
    assert number(families, "oauth_leases", endpoint="forward_auth") == 1
