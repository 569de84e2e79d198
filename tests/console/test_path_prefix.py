"""The whole server below the path of its issuer: ``https://company.example/auth``."""

import re

import pytest
from werkzeug.test import Client

from app import create_app
from authserver.actions import roles, sign_in, users
from authserver.config import Config
from tests.conftest import DuringTests, FixedClock
from tests.support.databases import fresh_sqlite_url

ISSUER = "https://company.example/auth"
TLS = {"base_url": "https://company.example"}


class Site:
    def __init__(self, folder):
        self.clock = FixedClock()
        config = Config(database_url=fresh_sqlite_url(folder), master_key="A" * 43, issuer=ISSUER)
        self.app = create_app(config, clock=self.clock, background=False)
        self.services = self.app.extensions["services"]
        self.services.migrate()
        self.services.log_stream = DuringTests()
        self.store = self.services.store()
        who = {"actor": "test", "now": self.clock.at}
        roles.create_role(self.store.accounts, "reader", "operational", (), **who)
        roles.create_role(self.store.accounts, "builder", "builder", ("users:manage",), **who)
        users.create_user(self.store.accounts, "ada", ["reader", "builder"], **who)
        self.link = sign_in.make_link(self.store.accounts, "ada", **who)
        self.http = Client(self.services.wsgi(), use_cookies=False)

    def get(self, path, **options):
        return self.http.get(path, **TLS, **options)

    def post(self, path, form, **options):
        return self.http.post(path, data=form, **TLS, **options)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.services.close()


def entered(site, proxy=lambda path: path):
    """Sign in by a one-time link, as a browser behind a proxy; the answer that leads on, and the cookie."""
    page = site.get(proxy(f"/auth/console/link?code={site.link.code}"))
    assert page.status_code == 200, page.text
    form = re.search(r'<form method="post" action="([^"]*/console/link)".*?</form>', page.text, re.DOTALL)
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
    answer = site.post(proxy(form[1]), fields, headers={"Cookie": cookie_of(page)})
    return answer, cookie_of(answer)


def cookie_of(answer):
    return answer.headers.getlist("Set-Cookie")[0].partition(";")[0]


def test_somebody_signs_in_and_every_link_and_cookie_is_below_the_path(site):
    answer, cookie = entered(site)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/auth/console/")
    cookies = answer.headers.getlist("Set-Cookie")
    assert cookies
    for each in cookies:
        assert "Path=/auth/" in each
        assert each.startswith("__Secure-")
    page = site.get(answer.headers["Location"], headers={"Cookie": cookie})
    assert page.status_code == 200
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("/auth/")] == []
    for link in sorted(set(links)):
        if "/static/" in link or link.endswith("/credentials"):
            assert site.get(link, headers={"Cookie": cookie}).status_code == 200, link


def test_a_proxy_may_take_the_path_away(site):
    def proxy(path):
        return path.removeprefix("/auth")

    answer, cookie = entered(site, proxy)
    assert answer.headers["Location"].startswith("/auth/console/")
    page = site.get(proxy(answer.headers["Location"]), headers={"Cookie": cookie})
    assert page.status_code == 200
    assert 'href="/auth/console/' in page.text


def test_who_is_not_signed_in_is_led_back_to_where_they_wanted(site):
    answer = site.get("/auth/console/credentials/new")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/auth/console/sign-in?next=/auth/console/credentials/new"


def test_nobody_is_led_elsewhere(site):
    page = site.get("/auth/console/sign-in?next=/console/credentials")
    assert 'name="next" value="/auth/console/credentials"' in page.text
    page = site.get("/auth/console/sign-in?next=//evil.example/auth/console/")
    assert 'name="next" value="/auth/console/credentials"' in page.text


def test_the_front_leads_to_the_console(site):
    for path in ("/auth", "/auth/", "/"):
        answer = site.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/auth/console/")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/.well-known/jwks.json", "/oauth/authorize"])
def test_machines_are_answered_below_the_path_and_without_it(site, path):
    statuses = {site.get(prefix + path).status_code for prefix in ("", "/auth")}
    assert len(statuses) == 1
    assert statuses < {200, 400}


def test_links_that_are_made_name_the_path(site):
    assert sign_in.link_url(ISSUER, "code") == "https://company.example/auth/console/link?code=code"


@pytest.mark.parametrize("path", ["/authx/console/", "/auth/nothing", "/author"])
def test_what_only_looks_like_the_path_is_not_found(site, path):
    assert site.get(path).status_code == 404
