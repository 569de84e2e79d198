"""One line an event, whatever is in it (T-177, INV-20)."""

import io
import json
import logging
import types

import pytest

from authserver.ports.errors import Unavailable
from authserver.telemetry.access_log import AccessLog, RequestFacts, RequestLine, text_renderer
from authserver.telemetry.logs import as_text, logger
from tests.telemetry.support import SECRET, TOKEN, one_line

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
