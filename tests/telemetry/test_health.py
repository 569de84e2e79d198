"""Health, and error pages."""

import json
import re
from pathlib import Path

import pytest
from werkzeug.test import Client

from app import create_app
from authserver.config import Config
from authserver.ports.errors import Unavailable
from tests.support import databases
from tests.telemetry.support import SECRET, exposition, number, one_line


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
