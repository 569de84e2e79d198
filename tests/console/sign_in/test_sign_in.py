"""Who gets in, by password or a one-time link."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest
from werkzeug.test import Client

from app import create_app
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.rules.sign_in import LINK_LIFE
from tests.console.sign_in.support import _numbers, events, linked, somebody
from tests.support.console_browser import PASSWORD, Browser, with_password
from tests.support.shell import Shell

WRONG = "The user name or the password is wrong, or this account may not enter."


def test_the_front_leads_to_the_sign_in_page_and_on_to_the_credentials(site):
    name, browser = somebody(site), Browser(site)
    front = browser.get("/")
    assert urlsplit(front.path).path == "/console/sign-in"
    inside = front.send("/console/sign-in", username=name, password=PASSWORD)
    assert (inside.status, inside.path) == (200, "/console/credentials")
    assert "No application credentials yet" in inside.words
    assert "A credential lets another system act for you, with only the roles you choose." in inside.words


def test_the_name_is_taken_in_any_letter_case_and_with_blanks_around_it(site):
    name = somebody(site)
    assert Browser(site).sign_in(f" {name.upper()} ").path == "/console/credentials"


def test_whoever_may_not_enter_gets_one_answer(site):
    user_actions.create_user(site.accounts, (plain := f"plain{next(_numbers)}"), ["reader"], **site.who)
    with_password(site, plain)
    user_actions.create_user(site.accounts, (bare := f"bare{next(_numbers)}"), ["reader", "builder"], **site.who)
    gone = somebody(site)
    user_actions.disable(site.accounts, gone, **site.who)
    right = somebody(site)
    answers = set()
    for name, password in [
        ("nobody", PASSWORD),
        (plain, PASSWORD),
        (bare, PASSWORD),
        (gone, PASSWORD),
        (right, PASSWORD[:-1]),
        (right, PASSWORD + "x" * 200),
        ("\0", PASSWORD),
        ("\uff41\uff44\uff41", PASSWORD),
    ]:
        browser = Browser(site)
        page = browser.sign_in(name, password)
        assert page.status == 401
        assert WRONG in page.words
        told = page.text.replace(page.value("_csrf"), "")
        answers.add(re.sub(r'name="username"[^>]*>', "", told))
        assert PASSWORD not in page.text
        assert browser.path == "/console/sign-in"
    assert len(answers) == 1


def test_nothing_typed_is_asked_for_by_name(site):
    page = Browser(site).sign_in("", "")
    assert page.status == 400
    assert 'href="#f-username"' in page.text
    assert 'aria-describedby="f-password-error"' in page.text


def test_the_cookie_cannot_be_read_or_sent_along(site):
    page = Browser(site).get("/console/sign-in")
    baked = page.answer.headers["Set-Cookie"]
    assert baked.startswith("console=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {each.strip() for each in baked.split(";")}


@pytest.mark.parametrize(
    ("issuer", "name", "path"),
    [
        ("https://auth.example.com", "__Host-console", "/"),
        ("https://auth.example.com/tenant", "__Secure-console", "/tenant/"),
    ],
)
def test_behind_https_the_cookie_is_the_issuers_own(tmp_path, issuer, name, path):
    settings = Config(database_url=f"sqlite:///{tmp_path}/a.db", master_key="A" * 43, issuer=issuer)
    services = create_app(settings, background=False).extensions["services"]
    services.migrate()
    try:
        http = Client(services.wsgi())
        baked = http.get("/console/sign-in").headers["Set-Cookie"]
        assert baked.startswith(f"{name}=")
        assert {"Secure", "HttpOnly", f"Path={path}"} <= {each.strip() for each in baked.split(";")}
        assert "Domain" not in baked
        away = http.get("/console/sign-in", environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
        assert away.status_code == 400
        assert "https" in away.text
        assert '<form method="post" action="/console/sign-in"' not in away.text
    finally:
        services.close()


def test_a_link_signs_in_once_and_looking_at_it_does_not_use_it_up(site):
    user_actions.create_user(site.accounts, (name := f"linked{next(_numbers)}"), ["reader", "builder"], **site.who)
    link, browser = linked(site, name), Browser(site)
    for _ in range(3):
        assert f"Sign in as {name}" in Browser(site).get(link).words
    inside = browser.get(link).send("/console/link")
    assert inside.path == "/console/profile"
    assert "You have no password yet" in inside.words
    code = link.partition("code=")[2]
    again = Browser(site)
    assert again.get(link).status == 404
    assert again.post("/console/link", {"_csrf": again.csrf(), "code": code}).status == 404
    assert again.path == "/console/sign-in"
    for record in site.accounts.audit_records():
        assert code not in str(record)
    for path in ("/console/profile", "/console/credentials"):
        assert code not in browser.get(path).text


def test_T_127_of_64_uses_at_once_one_succeeds(site):
    name = somebody(site)
    code = linked(site, name).partition("code=")[2]
    browsers = [Browser(site) for _ in range(64)]
    forms = [(browser, {"_csrf": browser.csrf(), "code": code}) for browser in browsers]
    with ThreadPoolExecutor(16) as pool:
        pages = list(pool.map(lambda each: each[0].post("/console/link", each[1], follow=False).status, forms))
    assert sorted(pages) == [303] + [404] * 63
    assert [browser.path for browser in browsers].count("/console/credentials") == 1
    spent = [each for each in events(site, "console.signed_in") if name in each.detail]
    assert len(spent) == 1


def test_a_link_is_good_for_a_quarter_of_an_hour(site):
    name = somebody(site)
    link = linked(site, name)
    site.clock.at += LINK_LIFE - 1
    assert Browser(site).get(link).status == 200
    site.clock.at += 1
    assert Browser(site).get(link).status == 404
    browser = Browser(site)
    code = link.partition("code=")[2]
    assert browser.post("/console/link", {"_csrf": browser.csrf(), "code": code}).status == 404


def test_a_link_is_for_those_who_may_enter(site):
    shell = Shell(site.app)
    user_actions.create_user(site.accounts, (plain := f"plain{next(_numbers)}"), ["reader"], **site.who)
    result = shell("users", "login-link", plain)
    assert result.code == 6
    assert "flask users grant" in result.err
    name = somebody(site)
    link = linked(site, name)
    user_actions.disable(site.accounts, name, **site.who)
    browser = Browser(site)
    assert browser.get(link).status == 404
    assert browser.post("/console/link", {"_csrf": browser.csrf(), "code": link.partition("code=")[2]}).status == 404
    assert shell("users", "login-link", name).code == 6
    assert shell("users", "login-link", "nobody").code == 3


@pytest.mark.parametrize("code", ["", "x", "\0", "acu_" + "0" * 46, "acs_" + "0" * 40 + "4HXhrH", "é" * 50])
def test_a_link_that_is_none(site, code):
    browser = Browser(site)
    assert browser.get(f"/console/link?code={quote(code)}").status == 404
    assert browser.post("/console/link", {"_csrf": browser.csrf(), "code": code}).status == 404
