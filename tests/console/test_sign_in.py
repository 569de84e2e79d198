"""Signing in to the console, over HTTP: ATTACKS.md, part "Console and SSO login", as far as sign-in and frame go."""

import hashlib
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from werkzeug.test import Client

from app import create_app
from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.console.sign_in.login_throttle import (
    FREE_ATTEMPTS,
    FREE_ATTEMPTS_PER_ADDRESS,
    MAX_WAIT,
    NAME_UNDER_ATTACK_FAILURES,
    LoginThrottle,
)
from authserver.ports.sign_in import ATTEMPTS_FORGOTTEN
from authserver.rules.sign_in import ABSOLUTE, IDLE, JUST_NOW, LINK_LIFE, RECENT
from authserver.store.factory import open_store
from authserver.store.tables import sign_in_tries
from tests.support.console_browser import PASSWORD, Browser, builder, signed_in, with_password
from tests.support.shell import Shell
from tests.support.wsgi_client import BACKENDS, opened

PUBLIC = {
    "/console/sign-in",
    "/console/sign-in/provider",
    "/console/sign-in/provider/return",
    "/console/link",
    "/console/help",
    "/console/appearance",
}
OPEN_PAGES = {"/", "/livez", "/readyz", "/metrics"}
WRONG = "The user name or the password is wrong, or this account may not enter."


@pytest.fixture(scope="module", params=BACKENDS)
def services(request, tmp_path_factory):
    """One world for the whole file; every test makes its own people in it."""
    yield from opened(request.param, tmp_path_factory.mktemp("console"))


@pytest.fixture
def site(services):
    """The world, where nobody has tried anything yet."""
    services.store.login_attempts.sweep(2**40)
    return services


_numbers = iter(range(10_000))


def somebody(site, *permissions, **more):
    """The name of a new user who may enter."""
    return builder(site, f"user{next(_numbers)}", permissions, **more).username


def events(site, name):
    return [each for each in site.accounts.audit_records() if each.event == name]


def routes(site):
    """Every path that is for people with something in its variables, and its methods; ``tests/api`` has the others."""
    for rule in site.app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            continue
        yield re.sub(r"<[^>]*>", "x", rule.rule), rule.methods - {"HEAD", "OPTIONS"}


# --- who gets in -----------------------------------------------------------------------------------------------------


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


# --- nothing is public, nothing changes without the form's own token -------------------------------------------------


def test_T_097_a_stranger_sees_only_public_pages(site):
    seen = set()
    for path, methods in routes(site):
        for method in sorted(methods):
            answer = Client(site.http.application).open(path, method=method)
            seen.add(path)
            if path in OPEN_PAGES:
                continue
            assert path.startswith("/console"), path
            if path in PUBLIC or path.startswith("/console/static/"):
                assert answer.status_code in ({200, 404} if method == "GET" else {403}), (method, path)
            elif method == "GET":
                assert answer.status_code == 303, path
                assert urlsplit(answer.headers["Location"]).path == "/console/sign-in"
            else:
                assert answer.status_code == 401, (method, path)
                assert "You are not signed in. Nothing was changed." in answer.text
    assert {"/console/credentials", "/console/profile"} <= seen


def test_T_097_what_needs_a_permission_is_closed_without_it(site):
    browser = signed_in(site, somebody(site))
    closed = ("/console/users", "/console/resource-servers", "/console/security")
    for path, methods in routes(site):
        for method in methods:
            if path.startswith(closed) or (path.startswith("/console/settings") and path.endswith("/change")):
                token = {"_csrf": browser.csrf()} if method != "GET" else None
                assert browser.client.open(path, method=method, data=token).status_code == 403, (method, path)


def test_T_097_and_what_is_not_there_looks_closed_too(site):
    stranger = Browser(site).get("/console/no/such/page", follow=False)
    assert (stranger.status, urlsplit(stranger.answer.headers["Location"]).path) == (303, "/console/sign-in")
    assert Browser(site).post("/console/no/such/page").status == Browser(site).post("/console/profile").status == 401
    assert signed_in(site, somebody(site)).get("/console/no/such/page").status == 404


def test_T_103_no_change_without_the_forms_own_token(site):
    browser, other = signed_in(site, somebody(site)), signed_in(site, somebody(site))
    token, foreign = browser.csrf(), other.csrf()
    posts = [path for path, methods in routes(site) if "POST" in methods and path.startswith("/console")]
    assert "/console/sign-out" in posts
    for path in posts:
        for data, headers in (
            ({}, {}),
            ({"_csrf": ""}, {}),
            ({"_csrf": foreign}, {}),
            ({"_csrf": token[:-1]}, {}),
            ({"_csrf": f"{token}é"}, {}),
            ({"_csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
            ({"_csrf": token}, {"Sec-Fetch-Site": "same-site"}),
            ({}, {"X-CSRF-Token": foreign}),
        ):
            assert browser.post(path, data, follow=False, **headers).status == 403, path
        plain = browser.client.post(path, data=f"_csrf={token}", content_type="text/plain")
        assert plain.status_code == 403
        assert browser.get(f"{path}?_csrf={token}", follow=False).status in {200, 303, 403, 404}
    assert browser.get("/console/profile", follow=False).status == 200
    assert browser.post("/console/sign-out", {"_csrf": token}).status == 200


def test_T_103_also_signing_in_needs_it(site):
    name = somebody(site)
    foreign = Browser(site).csrf()
    browser = Browser(site)
    for token in ({}, {"_csrf": foreign}):
        browser.get("/console/sign-in")
        page = browser.post("/console/sign-in", {**token, "username": name, "password": PASSWORD}, follow=False)
        assert page.status == 403
        assert "This form is too old" in page.words
        assert browser.path == "/console/sign-in"


def test_T_105_the_session_id_is_never_one_from_before(site):
    name, browser = somebody(site), Browser(site)
    preset = "A" * 43
    browser.client.set_cookie("console", preset)
    page = browser.get("/console/sign-in")
    assert browser.cookie == preset
    page.send("/console/sign-in", username=name, password=PASSWORD)
    entered = browser.cookie
    assert entered != preset
    assert browser.path == "/console/credentials"
    browser.get("/console/confirm").send("/console/confirm", password=PASSWORD)
    assert browser.cookie not in {preset, entered}
    for dead in (preset, entered):
        other_session = Browser(site)
        other_session.client.set_cookie("console", dead)
        assert other_session.path == "/console/sign-in"
    assert browser.path == "/console/credentials"


def test_T_105_signing_in_again_ends_what_was_before(site):
    first, second = somebody(site), somebody(site)
    browser = signed_in(site, first)
    form = browser.get("/console/help")
    before = browser.cookie
    assert form.browser.post(
        "/console/sign-in", {"_csrf": browser.csrf(), "username": second, "password": PASSWORD}
    ).path.startswith("/console/")
    other_session = Browser(site)
    other_session.client.set_cookie("console", before)
    assert other_session.path == "/console/sign-in"


@pytest.mark.parametrize("who", ["stranger", "signed in"])
def test_T_107_no_page_is_kept_by_anybody(site, who):
    browser = signed_in(site, somebody(site)) if who == "signed in" else Browser(site)
    for path, methods in routes(site):
        if "GET" not in methods or path in OPEN_PAGES:
            continue
        answer = browser.get(path, follow=False).answer
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if path.startswith("/console/static/"):
            continue
        assert answer.headers["Cache-Control"] == "no-store", path
        assert "Cookie" in answer.headers["Vary"], path
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert answer.headers["X-Frame-Options"] == "DENY"


PAYLOADS = (
    '"><svg onload=alert(1)>',
    "'><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}%(x)s",
    "\u2028\u202e<b>",
)


def test_T_109_what_is_sent_is_never_markup(site):
    inside, stranger = signed_in(site, somebody(site)), Browser(site)
    for payload in PAYLOADS:
        asked = [
            stranger.get(f"/console/sign-in?next={quote(payload)}"),
            stranger.sign_in(payload, "wrong password"),
            stranger.get(f"/console/link?code={quote(payload)}"),
            stranger.get("/console/sign-in", **{"User-Agent": payload.encode("ascii", "ignore").decode()}),
            stranger.get("/console/sign-in", **{"Accept-Language": "<svg>"}),
            inside.get(f"/console/{quote(payload)}"),
            inside.get(f"/console/credentials?q={quote(payload)}&{quote(payload)}=1"),
            inside.get("/console/profile").send("/console/profile", zone=payload, language=payload, theme=payload),
            inside.get(f"/console/confirm?next={quote(payload)}"),
            inside.post("/console/appearance", {"_csrf": inside.csrf(), "back": payload, "theme": payload}),
        ]
        for page in asked:
            assert page.status < 500
            for raw in ("<svg onload", "<script>alert", "<img src=x", "<b>", 'href="javascript', "49%"):
                assert raw not in page.text, (page.path, raw)


AWAY = (  # as they stand in advisories
    "//e", "\\\\e", "/\\e", "///e", "/%09/e", "/%0d/e", "https:e", "https://us@e", "javascript:alert(1)",
    "/oauth/token", "http://127.0.0.1:9/", "//e/console/", "/console//e", "/console\\..\\e", "/\t/e", "/\n/e", " //e",
    "/console@e", "/consoleevil", "https://\u0435.example", "/console/../../e", "/console/\r\nSet-Cookie: a=b",
    "//%65/console",
    "data:text/html,x", "/", "", "/console/\u00e9",
)  # fmt: skip


@pytest.mark.parametrize("target", AWAY)
def test_T_111_only_a_path_of_the_console_is_led_to(site, target):
    name, browser = somebody(site), Browser(site)
    browser.get(f"/console/sign-in?next={quote(target)}")
    page = browser.post(
        "/console/sign-in",
        {"_csrf": browser.csrf(), "username": name, "password": PASSWORD, "next": target},
        follow=False,
    )
    assert page.answer.headers["Location"] == "/console/credentials"
    again = browser.get(f"/console/sign-in?next={quote(target)}", follow=False)
    assert again.answer.headers["Location"] == "/console/credentials"
    looks = browser.post(
        "/console/appearance", {"_csrf": browser.csrf(), "back": target, "theme": "dark"}, follow=False
    )
    assert looks.answer.headers["Location"] == "/console/sign-in"


@pytest.mark.parametrize("target", ["/console/profile", "/console/credentials?sort=-name&q=a%20b", "/console"])
def test_T_111_a_path_of_the_console_is(site, target):
    browser = Browser(site)
    name = somebody(site)
    response = browser.get(target, follow=False)
    page = browser.get(response.answer.headers["Location"])
    inside = page.send("/console/sign-in", username=name, password=PASSWORD)
    assert inside.path == (target if target != "/console" else "/console/credentials")


# --- wrong passwords make the next one wait --------------------------------------------------------------------------


def test_guessing_waits_and_nobody_is_locked_out(site):
    name, guesser, owner = somebody(site), Browser(site), Browser(site, "127.0.0.2")
    for _ in range(FREE_ATTEMPTS):
        assert guesser.sign_in(name, "wrong password").status == 401
    assert guesser.sign_in(name, "wrong password").status == 429
    late = guesser.sign_in(name, PASSWORD)
    assert late.status == 429
    assert late.answer.headers["Retry-After"] == "1"
    assert "Wait 1 second" in late.words
    assert owner.sign_in(name).path == "/console/credentials"
    site.clock.at += 1
    assert guesser.sign_in(name).path == "/console/credentials"


class Guessing:
    """Tries at an instant that is moved by hand."""

    def __init__(self, site):
        self.store, self.at = site.store, 1_900_000_000

    def begin(self, name, peer):
        return LoginThrottle(self.store.login_attempts, self.store.pepper, self.at).begin(name, peer)

    def succeeded(self, name, peer):
        LoginThrottle(self.store.login_attempts, self.store.pepper, self.at).succeeded(name, peer)


@pytest.fixture
def guessing(site):
    return Guessing(site)


def kept(site):
    with site.store.engine.connect() as connection:
        return connection.execute(select(sign_in_tries)).all()


def test_an_address_does_not_hold_up_another(guessing):
    waited = [guessing.begin("ada", "192.0.2.1") for _ in range(FREE_ATTEMPTS + 1)]
    assert waited == [0] * FREE_ATTEMPTS + [1]
    assert guessing.begin("ada", "192.0.2.2") == 0
    assert guessing.begin(" \uff21\uff24\uff21\u200b", "192.0.2.1") == 1
    assert guessing.begin("ada", "::ffff:192.0.2.1") == 1
    assert guessing.begin("bob", "192.0.2.1") == 0


def test_waits_grow_to_a_minute_and_are_forgotten(guessing):
    waits = []
    for _ in range(FREE_ATTEMPTS + 12):
        wait = guessing.begin("ada", "192.0.2.1")
        waits.append(wait)
        guessing.at += wait
        if wait:
            assert guessing.begin("ada", "192.0.2.1") == 0
    assert waits[FREE_ATTEMPTS : FREE_ATTEMPTS + 4] == [1, 2, 4, 8]
    assert max(waits) == MAX_WAIT
    guessing.at += ATTEMPTS_FORGOTTEN + 1
    assert [guessing.begin("ada", "192.0.2.1") for _ in range(FREE_ATTEMPTS + 1)] == [0] * FREE_ATTEMPTS + [1]


def test_a_right_password_takes_the_try_back(guessing):
    for _ in range(60):
        assert guessing.begin("ada", "192.0.2.1") == 0
        guessing.succeeded("ada", "192.0.2.1")


def test_one_address_with_many_names_waits_and_leaves_nothing_more_behind(site, guessing):
    waited = [guessing.begin(f"user{number}", "192.0.2.1") for number in range(FREE_ATTEMPTS_PER_ADDRESS)]
    assert waited == [0] * FREE_ATTEMPTS_PER_ADDRESS
    before = kept(site)
    assert all(guessing.begin(f"more{number}", "192.0.2.1") for number in range(100))
    assert kept(site) == before
    assert site.store.login_attempts.sweep(guessing.at) == 0
    assert site.store.login_attempts.sweep(guessing.at + 1) == len(before)


def test_a_name_under_attack_from_everywhere_gives_each_address_one_try(guessing):
    for number in range(NAME_UNDER_ATTACK_FAILURES):
        assert guessing.begin("ada", f"198.51.100.{number}") == 0
    assert [guessing.begin("ada", "192.0.2.1") for _ in range(2)] == [0, 1]


def test_no_name_and_no_address_can_be_told_from_what_is_kept(site, guessing):
    # A name that no hexadecimal hash can spell by chance.
    guessing.begin("zoë.quill", "192.0.2.1")
    told = str(kept(site))
    assert told.count("1900000000") == 3
    assert "quill" not in told
    assert "192.0.2.1" not in told
    assert hashlib.sha256("zoë.quill".encode()).hexdigest() not in told


def test_many_tries_at_once_on_many_nodes_are_counted_before_they_are_judged(site):
    nodes = [open_store(site.store.engine, site.services.master(), site.clock, background=False) for _ in range(2)]

    def one(number):
        store = nodes[number % 2]
        return LoginThrottle(store.login_attempts, store.pepper, 1_900_000_000).begin("ada", "192.0.2.1")

    with ThreadPoolExecutor(8) as pool:
        let_in = list(pool.map(one, range(64))).count(0)
    assert let_in == FREE_ATTEMPTS


# --- how a sign-in ends ----------------------------------------------------------------------------------------------


def test_it_ends_when_nothing_was_asked_for_half_an_hour(site):
    browser = signed_in(site, somebody(site))
    for _ in range(5):
        site.clock.at += IDLE - 1
        assert browser.path == "/console/credentials"
    site.clock.at += IDLE
    assert browser.path == "/console/sign-in"
    site.clock.at -= IDLE


def test_it_ends_after_twelve_hours_however_busy(site):
    browser, began = signed_in(site, somebody(site)), site.clock.at
    while site.clock.at < began + ABSOLUTE - 1:
        assert browser.path == "/console/credentials"
        site.clock.at = min(site.clock.at + IDLE - 60, began + ABSOLUTE - 1)
    assert browser.path == "/console/credentials"
    site.clock.at = began + ABSOLUTE
    assert browser.path == "/console/sign-in"


def test_the_page_knows_when_it_ends(site):
    browser = signed_in(site, somebody(site))
    ends_in = int(re.search(r'data-ends-in="(\d+)"', browser.get("/console/profile").text)[1])
    assert IDLE - 60 <= ends_in < IDLE
    site.clock.at += ends_in
    stayed = browser.client.post("/console/stay", headers={"X-CSRF-Token": browser.csrf()})
    assert stayed.status_code == 204
    site.clock.at += ends_in
    assert browser.path == "/console/credentials"


def test_signing_out_ends_it_for_good(site):
    browser = signed_in(site, somebody(site))
    kept = browser.cookie
    page = browser.get("/console/profile").send("/console/sign-out")
    assert "You are signed out" in page.words
    assert browser.path == "/console/sign-in"
    browser.client.set_cookie("console", kept)
    assert browser.path == "/console/sign-in"


@pytest.mark.parametrize("end", ["disable", "lose the builder role"])
def test_it_ends_with_the_right_to_enter_and_does_not_come_back(site, end):
    name = somebody(site)
    browser = signed_in(site, name)
    role = f"builder-{name}"
    if end == "disable":
        user_actions.disable(site.accounts, name, **site.who)
    else:
        user_actions.revoke(site.accounts, name, role, **site.who)
    assert browser.path == "/console/sign-in"
    assert Browser(site).sign_in(name).status == 401
    if end == "disable":
        user_actions.enable(site.accounts, name, **site.who)
    else:
        user_actions.grant(site.accounts, name, role, **site.who)
    assert browser.path == "/console/sign-in"
    assert Browser(site).sign_in(name).status == 200


def test_signing_out_elsewhere(site):
    name = somebody(site)
    here, there, other_browser = signed_in(site, name), signed_in(site, name), signed_in(site, name)
    page = here.get("/console/profile")
    assert page.text.count('name="session" value="cs_') == 2
    page.send("/console/profile/sessions/end")  # the last of the list
    assert [each.path for each in (there, other_browser)].count("/console/sign-in") == 1
    signed_in(site, name)
    done = here.post("/console/profile/sessions/end", {"_csrf": here.csrf(), "session": "others"})
    assert "You are signed out everywhere else." in done.words
    assert {each.path for each in (there, other_browser)} == {"/console/sign-in"}
    assert here.path == "/console/credentials"
    assert {"console.session_ended", "console.other_sessions_ended"} <= {
        each.event for each in site.accounts.audit_records(actor=f"console:{name}")
    }


def test_nobody_ends_the_sign_ins_of_others(site):
    mine, theirs = signed_in(site, somebody(site)), somebody(site)
    other = signed_in(site, theirs)
    user = site.accounts.user(theirs)
    handle = site.store.sign_ins.of_user(user.id)[0].handle
    for wrong in (handle, "cs_unknown", "\0", ""):
        done = mine.post("/console/profile/sessions/end", {"_csrf": mine.csrf(), "session": wrong})
        assert done.status in {200, 400}
    assert other.path == "/console/credentials"
    assert handle not in mine.get("/console/profile").text


# --- one-time links --------------------------------------------------------------------------------------------------


def linked(site, name):
    made = Shell(site.app).json("users", "login-link", name)
    parts = urlsplit(made["url"])
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "127.0.0.1:8000", "/console/link")
    return f"{parts.path}?{parts.query}"


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


# --- a proof that is not old -----------------------------------------------------------------------------------------


def test_T_117_whoever_has_no_password_sets_one_right_after_signing_in_only(site):
    user_actions.create_user(site.accounts, (name := f"fresh{next(_numbers)}"), ["reader", "builder"], **site.who)
    browser = Browser(site)
    browser.get(linked(site, name)).send("/console/link")
    site.clock.at += JUST_NOW
    late = browser.get("/console/profile/password").send(password_new=PASSWORD)
    assert late.status == 401
    assert "you have no password to confirm it with" in late.words
    assert site.store.sign_ins.password_of(name)[1] is None
    browser.get(linked(site, name)).send("/console/link")
    site.clock.at += JUST_NOW - 1
    done = browser.get("/console/profile/password").send(password_new=PASSWORD)
    assert (done.path, done.status) == ("/console/profile", 200)
    assert Browser(site).sign_in(name).path == "/console/credentials"


def test_T_117_the_password_is_a_new_proof(site):
    name = somebody(site)
    browser = signed_in(site, name)
    site.clock.at += RECENT
    proof = site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at
    wrong = browser.get("/console/confirm?next=/console/profile").send("/console/confirm", password="wrong password")
    assert wrong.status == 401
    assert "That is not your password." in wrong.words
    assert site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at == proof
    right = wrong.send("/console/confirm", password=PASSWORD)
    assert right.path == "/console/profile"
    assert site.store.sign_ins.of_user(site.accounts.user(name).id)[0].proof_at == site.clock.at


def test_guessing_the_password_again_waits_as_well(site):
    browser = signed_in(site, somebody(site))
    statuses = [
        browser.get("/console/confirm").send("/console/confirm", password="wrong password").status
        for _ in range(FREE_ATTEMPTS + 1)
    ]
    assert statuses == [401] * FREE_ATTEMPTS + [429]


# --- the password ----------------------------------------------------------------------------------------------------


def test_changing_the_password_signs_out_everywhere_else(site):
    name, fresh = somebody(site), "another good horse 7"
    here, there = signed_in(site, name), signed_in(site, name)
    wrong = here.get("/console/profile/password").send(password="wrong password", password_new=fresh)
    assert (wrong.status, "That is not your password." in wrong.words) == (400, True)
    weak = wrong.send(password=PASSWORD, password_new="password1234")
    assert weak.status == 400
    assert 'id="f-password_new-error"' in weak.text
    done = weak.send(password=PASSWORD, password_new=fresh)
    assert (done.path, done.status) == ("/console/profile", 200)
    assert "Your password is changed." in done.words
    assert there.path == "/console/sign-in"
    assert here.path == "/console/credentials"
    assert Browser(site).sign_in(name).status == 401
    assert Browser(site).sign_in(name, fresh).status == 200
    for page in (wrong, weak, done):
        assert PASSWORD not in page.text
        assert fresh not in page.text


def test_a_password_from_the_command_line_ends_all_sign_ins(site):
    name = somebody(site)
    browser = signed_in(site, name)
    assert Shell(site.app)("users", "password", name, "--password-stdin", stdin="another good horse 8").code == 0
    assert browser.path == "/console/sign-in"


# --- nothing typed is lost -------------------------------------------------------------------------------------------


def test_a_form_survives_a_sign_in_that_ended(site):
    name = somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    response = form.send("/console/profile", zone="Europe/Nowhere", password="never kept", secret_x="never kept")
    assert response.status == 401
    assert "what you typed is still there" in response.words
    assert "never kept" not in response.text
    assert "Nowhere" not in response.text  # sealed
    back = response.send("/console/sign-in", username=name, password=PASSWORD)
    assert (back.status, back.path) == (200, "/console/profile")
    assert back.value("zone") == "Europe/Nowhere"
    assert "never kept" not in back.text
    assert browser.get("/console/profile").value("zone") == ""  # given back once
    assert back.send("/console/profile", zone="Europe/Berlin").value("zone") == "Europe/Berlin"


def test_a_button_without_a_page_of_its_own_leads_back_to_its_page(site):
    name = somebody(site)
    browser = signed_in(site, name)
    signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    back = form.send("/console/profile/sessions/end").send("/console/sign-in", username=name, password=PASSWORD)
    assert (back.status, back.path) == (200, "/console/profile")


def test_a_form_survives_one_wrong_password_too(site):
    name = somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    wrong = form.send("/console/profile", zone="Europe/Nowhere").send(
        "/console/sign-in", username=name, password="wrong password"
    )
    back = wrong.send("/console/sign-in", username=name, password=PASSWORD)
    assert back.value("zone") == "Europe/Nowhere"


def test_what_was_typed_is_only_for_the_one_who_typed_it(site):
    name, other = somebody(site), somebody(site)
    browser = signed_in(site, name)
    form = browser.get("/console/profile")
    site.clock.at += IDLE
    response = form.send("/console/profile", zone="Europe/Nowhere")
    back = response.send("/console/sign-in", username=other, password=PASSWORD)
    assert "Europe/Nowhere" not in back.text.partition("<datalist")[0]


def test_nothing_is_kept_for_strangers_or_beyond_measure(site):
    name = somebody(site)
    stranger = Browser(site)
    assert "_draft" not in stranger.post("/console/profile", {"_csrf": stranger.csrf(), "zone": "x"}).text
    browser = signed_in(site, name)
    token = browser.csrf()
    site.clock.at += IDLE
    assert "_draft" not in browser.post("/console/profile", {"_csrf": token, "zone": "x" * 20_000}).text
    assert "_draft" not in browser.post("/console/profile", {"_csrf": "forged", "zone": "x"}).text
    assert browser.post("/console/profile", {"_csrf": token, "zone": "x" * 70_000}).status == 413
    page = browser.get("/console/sign-in")
    for forged in ("", "x", "é", "AAAA", "\0"):
        data = {"_csrf": page.value("_csrf"), "username": name, "password": PASSWORD, "_draft": forged}
        again = Browser(site)
        again.client.set_cookie("console", browser.cookie)
        assert again.post("/console/sign-in", data).path == "/console/credentials"


# --- what is written down --------------------------------------------------------------------------------------------


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


# --- how it looks ----------------------------------------------------------------------------------------------------


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
