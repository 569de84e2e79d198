"""No secret and no token in a log line (T-175, INV-20)."""

import json
import logging
import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from authserver.telemetry.logs import configure, logger
from authserver.telemetry.redaction import redact, redact_event
from tests.telemetry.support import SECRET, TOKEN, one_line


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
