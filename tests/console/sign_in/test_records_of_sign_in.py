"""What is written down of sign-ins, and how the pages look."""

import re
from collections import Counter

from structlog.testing import capture_logs
from werkzeug.test import Client

from app import create_app
from authserver.actions import sign_in as sign_in_actions
from authserver.config import Config
from authserver.console.sign_in.login_throttle import FREE_ATTEMPTS, MAX_WAIT
from authserver.rules.sign_in import RECENT
from tests.console.sign_in.support import events, somebody
from tests.support.console_browser import PASSWORD, Browser, signed_in


def test_signing_in_is_on_record_and_no_secret_is(site):
    name = somebody(site)
    browser = signed_in(site, name)
    record = next(each for each in events(site, "console.signed_in") if each.target == name)
    assert record.actor == f"console:{name}"
    assert '"method":"password"' in record.detail
    for each in site.accounts.audit_records():
        assert PASSWORD not in str(each)
        assert browser.cookie not in str(each)
    assert site.accounts.audit_verify().first_bad is None


def logins(site):
    """How many tries are counted, by method and outcome."""
    text = site.http.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).text
    found = re.findall(r'oauth_console_logins_total\{method="(\w+)",outcome="(\w+)"\} (\d+)', text)
    return Counter({(method, outcome): int(float(count)) for method, outcome, count in found})


def test_tries_are_counted_and_each_request_leaves_a_line(site):
    name, before = somebody(site), logins(site)
    browser = Browser(site)
    for _ in range(FREE_ATTEMPTS):
        assert browser.sign_in(name, "wrong password 12").status == 401
    assert browser.sign_in(name).status == 429
    site.clock.at += MAX_WAIT
    assert browser.sign_in(name).status == 200
    site.clock.at += RECENT
    browser.get("/console/confirm").send("/console/confirm", password=PASSWORD)
    with capture_logs() as lines:
        browser.get("/console/credentials/typed-into-the-address")
        answer = site.http.get("/console/nothing", headers={"X-Request-Id": "edge-7"})
    assert logins(site) - before == {
        ("password", "refused"): FREE_ATTEMPTS,
        ("password", "delayed"): 1,
        ("password", "granted"): 1,
        ("proof", "granted"): 1,
    }
    one, other = (line for line in lines if line["event"] == "request")
    assert (one["endpoint"], one["method"], one["status"], one["peer"]) == ("console", "GET", 404, "127.0.0.1")
    assert one["route"] == "/console/credentials/<client_id>"
    assert one["user"].startswith("usr_")
    assert other["request_id"] == "edge-7"
    assert not re.search("typed|nothing", str(lines)), "an address is nothing for a log: somebody typed it"
    assert answer.headers["X-Request-Id"] == "edge-7"


def test_only_a_hash_of_the_id_is_in_the_database(site):
    name = somebody(site)
    browser = signed_in(site, name)
    with site.store.engine.connect() as connection:
        rows = str(connection.exec_driver_sql("SELECT * FROM console_sessions").all())
    assert sign_in_actions.hashed(browser.cookie) in rows
    assert browser.cookie not in rows


def test_T_181_a_refusal_reaches_the_audit_without_what_was_typed(site):
    name = somebody(site)
    Browser(site).sign_in(name, "not the password 1")
    Browser(site).sign_in("hunter2-in-the-wrong-field", "not the password 1")
    site.services._security_log.close()
    site.services._security_log = None
    refused = events(site, "console.refused")
    assert {(each.target, each.detail) for each in refused} >= {
        (name, '{"reason":"wrong_password"}'),
        ("-", '{"reason":"unknown_user"}'),
    }
    for each in refused:
        assert "hunter2" not in str(each)
        assert "not the password" not in str(each)


def test_theme_and_language_without_an_account(site):
    browser = Browser(site)
    page = browser.get("/console/sign-in?next=/console/profile").send(
        "/console/appearance", theme="dark", language="de"
    )
    assert page.path == "/console/sign-in?next=/console/profile"
    assert '<html lang="de" dir="ltr" data-theme="dark">' in page.text
    assert "Anmelden" in page.words


def test_preferences_go_with_the_account(site):
    name = somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    page = form.send("/console/profile", language="de", theme="light", zone="Asia/Tokyo", shortcuts=[])
    assert "Gespeichert." in page.words
    assert '<html lang="de" dir="ltr" data-theme="light">' in page.text
    assert "data-no-shortcuts" in page.text
    assert "Asia/Tokyo</time>" in page.text
    assert "Gespeichert." not in browser.get("/console/profile").words  # told once
    elsewhere = signed_in(site, name).get("/console/profile")
    assert '<html lang="de" dir="ltr" data-theme="light">' in elsewhere.text


def test_a_preference_that_cannot_be_is_refused_beside_its_field(site):
    browser = signed_in(site, somebody(site))
    for zone in ("Nowhere/Land", "../../etc/passwd", "a" * 300, "\0"):
        page = browser.get("/console/profile").send("/console/profile", zone=zone)
        assert page.status == 400
        assert 'id="f-zone-error"' in page.text
        assert 'href="#f-zone"' in page.text
    assert browser.get("/console/profile").value("zone") == ""


def test_a_database_that_cannot_be_read_is_said_so(tmp_path):
    app = create_app(Config(database_url=f"sqlite:///{tmp_path}/none.db", master_key="A" * 43), background=False)
    for path in ("/console/sign-in", "/console/credentials", "/console/nope"):
        answer = Client(app).get(path)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.content_type.startswith("text/html")
        assert "Not right now" in answer.text
