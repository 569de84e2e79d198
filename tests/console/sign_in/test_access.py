"""Nothing is public, and nothing changes without the form's own token."""

import re
from urllib.parse import quote, urlsplit

import pytest
from werkzeug.test import Client

from tests.console.sign_in.support import somebody
from tests.support.console_browser import PASSWORD, Browser, signed_in

PUBLIC = {
    "/console/sign-in",
    "/console/sign-in/provider",
    "/console/sign-in/provider/return",
    "/console/link",
    "/console/help",
    "/console/appearance",
}
OPEN_PAGES = {"/", "/livez", "/readyz", "/metrics"}


def routes(site):
    """Every path that is for people with something in its variables, and its methods; ``tests/api`` has the others."""
    for rule in site.app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            continue
        yield re.sub(r"<[^>]*>", "x", rule.rule), rule.methods - {"HEAD", "OPTIONS"}


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
