"""Signing in with another's provider: a real one, and one that lies in every way we know (T-113, T-115, T-161)."""

import html
import json
import re
import threading
import time
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from authserver.actions import identities
from authserver.actions import users as user_actions
from authserver.console.openid import client as provider_module
from authserver.console.openid.client import Provider
from authserver.console.openid.identity import ProviderSettings
from tests.conftest import World
from tests.support import databases
from tests.support import openid_provider as openid
from tests.support.console_browser import Browser, builder, with_password
from tests.support.shell import Shell

RETURN = "/console/sign-in/provider/return"
REDIRECT_URI = f"http://127.0.0.1:8000{RETURN}"


@pytest.fixture(scope="module")
def hostile_provider():
    with openid.hostile() as running:
        yield running


@pytest.fixture
def it(hostile_provider):
    hostile_provider.drip, hostile_provider.delay = False, 0  # ends an answer that an earlier test made slow
    for thread in threading.enumerate():
        if thread.name == "provider":
            thread.join(30)  # what waits for a slow answer of an earlier test still takes up a place
    hostile_provider.reset()
    return hostile_provider


def seed(world, issuer, **changes):
    told = {**openid.CLIENT, "issuer": issuer, "label": "Example ID", **changes}
    world.services.provider = Provider(ProviderSettings(**told))


@pytest.fixture(scope="module")
def one_world(hostile_provider, tmp_path_factory):
    """Lies are told before a database is asked: one world on SQLite hears them all; the real provider meets both."""
    world = World(databases.fresh_sqlite_url(tmp_path_factory.mktemp("sso")))
    with_password(world)
    builder(world, "bob")
    identities.link(world.accounts, "ada", hostile_provider.issuer, "somebody", **world.who)
    yield world
    world.services.close()


@pytest.fixture
def at_provider(one_world, it):
    """A world whose people may sign in at ``it``; ada is linked to its ``somebody``."""
    seed(one_world, it.issuer)
    one_world.before = one_world.accounts.audit_newest(1)[0].seq
    return one_world


def depart(browser, path="/console/sign-in", action="/console/sign-in/provider"):
    """Press the button; where the browser is sent."""
    page = browser.get(path).send(action)
    assert page.status == 200, page.words
    return html.unescape(re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)[1])


def come_back(browser, answer):
    return browser.get(f"{RETURN}?{urlencode(answer)}")


def sign_in(browser, it):
    return come_back(browser, it.authorize(depart(browser)))


def signed_in(page):
    return page.status == 200 and "Sign out" in page.words


def sign_ins(world):
    """Who was signed in since the test began."""
    records = world.accounts.audit_records(after=getattr(world, "before", 0))
    return [record for record in records if record.event == "console.signed_in"]


class TestRealProvider:
    """The npm package oidc-provider, and a person with a browser in between."""

    @pytest.fixture
    def at_it(self, node, world):
        with openid.real(node, REDIRECT_URI) as issuer:
            seed(world, issuer)
            yield world, issuer

    def walk(self, url, login):
        """Sign in at the provider as a person would; the address it sends the browser back to."""
        person = requests.Session()
        answer = person.get(url, allow_redirects=False, timeout=10)
        for _ in range(20):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["Location"])
                if url.startswith(REDIRECT_URI):
                    return url.removeprefix("http://127.0.0.1:8000")
                answer = person.get(url, allow_redirects=False, timeout=10)
                continue
            form = dict(re.findall(r'<input[^>]*name="(prompt)" value="([^"]+)"', answer.text))
            assert form, answer.text
            action = urljoin(url, re.search(r'<form[^>]*action="([^"]+)"', answer.text)[1])
            if form["prompt"] == "login":
                form |= {"login": login, "password": "anything"}
            url, answer = action, person.post(action, data=form, allow_redirects=False, timeout=10)
        raise AssertionError("the provider never came to an end")

    def test_sign_in(self, at_it):
        world, issuer = at_it
        said = Shell(world.app).json("users", "link-identity", "ada", "--issuer", issuer, "--subject", "ada-there")
        assert (said["username"], said["issuer"], said["subject"]) == ("ada", issuer, "ada-there")
        browser = Browser(world)
        back = self.walk(depart(browser), "ada-there")
        told = parse_qs(urlsplit(back).query)
        assert told["iss"] == [issuer]  # RFC 9207
        page = browser.get(back)
        assert signed_in(page), page.words
        assert json.loads(sign_ins(world)[-1].detail)["method"] == "oidc"
        # Once more with the same address: code and state are used up.
        again = browser.get(back)
        assert again.status == 400, again.words

    def test_a_stranger_is_refused_politely(self, at_it):
        world, issuer = at_it
        browser = Browser(world)
        page = browser.get(self.walk(depart(browser), "somebody-else"))
        assert page.status == 403
        assert "not linked to an account here" in page.words
        assert issuer in page.words
        assert "somebody-else" in page.words
        assert not sign_ins(world)

    def test_link_in_the_profile_then_sign_in_then_unlink(self, at_it):
        world, _ = at_it
        with_password(world)
        browser = Browser(world)
        browser.sign_in()
        url = depart(browser, "/console/profile", "/console/profile/identities")
        page = browser.get(self.walk(url, "ada-there"))
        assert "Linked. From now on you can sign in that way." in page.words
        other = Browser(world)
        assert signed_in(other.get(self.walk(depart(other), "ada-there")))
        page = browser.get("/console/profile").send("/console/profile/identities/unlink")
        assert "not linked any more" in page.words
        assert not signed_in(other.get("/console/credentials")), "who came by that identity is signed out"
        third = Browser(world)
        assert third.get(self.walk(depart(third), "ada-there")).status == 403

    def test_prove_again(self, at_it):
        world, issuer = at_it
        identities.link(world.accounts, "ada", issuer, "ada-there", **world.who)
        browser = Browser(world)
        assert signed_in(browser.get(self.walk(depart(browser), "ada-there")))
        before = browser.cookie
        world.clock.at = int(time.time())  # the provider tells real time
        url = depart(browser, "/console/confirm?next=/console/profile", "/console/confirm/provider")
        assert parse_qs(urlsplit(url).query)["max_age"] == ["0"]
        page = browser.get(self.walk(url, "ada-there"))
        assert page.path == "/console/profile"
        assert browser.cookie != before, "a proof gives a new session id (T-105)"
        url = depart(browser, "/console/confirm", "/console/confirm/provider")
        assert browser.get(self.walk(url, "somebody-else")).status == 400

    def test_the_secret_may_be_posted_or_absent(self, node, world):
        for method, secret in (("client_secret_post", openid.CLIENT["client_secret"]), ("none", "")):
            with openid.real(node, REDIRECT_URI, token_endpoint_auth_method=method) as issuer:
                seed(world, issuer, client_secret=secret)
                browser = Browser(world)
                page = browser.get(self.walk(depart(browser), "who"))
                assert page.status == 403, page.words  # proved, and not linked


class TestRequest:
    def test_what_is_asked_for(self, at_provider, it):
        url = depart(Browser(at_provider))
        assert url.startswith(f"{it.issuer}/authorize?")
        asked = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == "console"
        assert asked["redirect_uri"] == REDIRECT_URI
        assert asked["scope"] == "openid"
        assert asked["code_challenge_method"] == "S256"
        assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 20

    def test_signing_in_shows_the_verifier_and_makes_a_new_session(self, at_provider, it):
        browser = Browser(at_provider)
        browser.get("/console/sign-in")
        before = browser.cookie
        url = depart(browser)
        assert signed_in(come_back(browser, it.authorize(url)))
        assert browser.cookie != before
        (form,) = [form for path, form, _ in it.asked if path == "/token"]
        asked = parse_qs(urlsplit(url).query)
        assert provider_challenge(form["code_verifier"][0]) == asked["code_challenge"][0]

    def test_nothing_readable_is_left_with_the_browser(self, at_provider):
        browser = Browser(at_provider)
        asked = parse_qs(urlsplit(depart(browser)).query)
        kept = browser.client.get_cookie("console-provider")
        assert kept.http_only
        assert kept.same_site == "Lax"
        for secret in (asked["state"][0], asked["nonce"][0]):
            assert secret not in kept.value

    def test_without_a_provider_there_is_no_door(self, world):
        browser = Browser(world)
        assert "/console/sign-in/provider" not in browser.get("/console/sign-in").text
        csrf = {"_csrf": browser.csrf()}
        assert browser.post("/console/sign-in/provider", csrf).status == 404
        assert browser.get(f"{RETURN}?code=a&state=b").status == 404

    def test_starting_needs_a_form_of_ours(self, at_provider, it):
        assert Browser(at_provider).post("/console/sign-in/provider", {}).status == 403
        assert not it.asked

    def test_one_comes_back_to_where_one_wanted(self, at_provider, it):
        browser = Browser(at_provider)
        url = depart(browser, "/console/sign-in?next=/console/profile")
        assert come_back(browser, it.authorize(url)).path == "/console/profile"
        for evil in ("https://evil.example/", "//evil.example", "/console/..//evil"):
            other = Browser(at_provider)
            url = depart(other, "/console/sign-in?" + urlencode({"next": evil}))
            assert come_back(other, it.authorize(url)).path == "/console/credentials"


def provider_challenge(verifier):
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    return create_s256_code_challenge(verifier)


class TestAnswer:
    """What comes back through the browser (T-103, T-115)."""

    @pytest.mark.parametrize(
        "change",
        [
            {"state": "made-up"},
            {"state": ""},
            {"iss": "https://other.example"},
            {"iss": None},
            {"code": None},
            {"code": ""},
            {"state": ["same", "made-up"]},
        ],
    )
    def test_altered(self, at_provider, it, change):
        browser = Browser(at_provider)
        answer = it.authorize(depart(browser))
        if isinstance(change.get("state"), list):
            change = {"state": [answer["state"], "made-up"]}
        told = {name: value for name, value in {**answer, **change}.items() if value is not None}
        page = browser.get(f"{RETURN}?{urlencode(told, doseq=True)}")
        assert page.status == 400, page.words
        assert "begin again" in page.words
        assert not sign_ins(at_provider)
        assert not [path for path, *_ in it.asked if path == "/token"], "the code went nowhere"

    def test_another_browser_cannot_use_it(self, at_provider, it):
        answer = it.authorize(depart(Browser(at_provider)))
        victim = Browser(at_provider)
        assert come_back(victim, answer).status == 400
        depart(victim)  # and not one that has begun itself either
        assert come_back(victim, answer).status == 400
        assert not sign_ins(at_provider)

    def test_state_is_good_once(self, at_provider, it):
        browser = Browser(at_provider)
        answer = it.authorize(depart(browser))
        assert signed_in(come_back(browser, answer))
        assert come_back(browser, answer).status == 400
        assert len(sign_ins(at_provider)) == 1

    def test_state_is_good_for_ten_minutes(self, at_provider, it):
        browser = Browser(at_provider)
        answer = it.authorize(depart(browser))
        at_provider.clock.at += 600
        assert come_back(browser, answer).status == 400

    @pytest.mark.parametrize("value", ["", "x", "AAAA", "é", "A" * 4000])
    def test_a_made_up_cookie(self, at_provider, it, value):
        browser = Browser(at_provider)
        answer = it.authorize(depart(browser))
        browser.client.set_cookie("console-provider", value)
        assert come_back(browser, answer).status == 400

    def test_the_provider_says_no(self, at_provider, it):
        browser = Browser(at_provider)
        answer = it.authorize(depart(browser))
        page = come_back(
            browser,
            {
                **answer,
                "error": "access_denied",
                "error_description": "<b>no luck, it says</b>",
                "error_uri": "https://evil.example",
            },
        )
        assert page.status == 403
        assert "Example ID did not let you in" in page.words
        assert "no luck" not in page.text
        assert "evil" not in page.text

    def test_linking_is_for_who_began_it(self, at_provider, it):
        bob = Browser(at_provider)
        bob.sign_in("bob")
        it.subject = "attacker"
        answer = it.authorize(depart(bob, "/console/profile", "/console/profile/identities"))
        ada = Browser(at_provider)
        ada.sign_in()
        kept = bob.client.get_cookie("console-provider").value
        ada.client.set_cookie("console-provider", kept)
        assert come_back(ada, answer).status == 400
        assert at_provider.store.sign_ins.identity_owner(it.issuer, "attacker") is None


class TestIdToken:
    """What proves nobody (T-113, T-115)."""

    def refused(self, at_provider, it):
        page = sign_in(Browser(at_provider), it)
        assert page.status == 400, page.words
        assert not sign_ins(at_provider)

    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": ""},
            {"nonce": None},
            {"nonce": ["a"]},
            {"nonce": "another", "nonce_supported": False},
            {"iss": "https://other.example"},
            {"aud": "another-client"},
            {"aud": ["another-client"]},
            {"aud": "another-client", "azp": "console"},
            {"aud": ["console", "another-client"], "azp": "another-client"},
            {"exp": 1_500_000_000},
            {"exp": "soon"},
            {"iat": 4_000_000_000},
            {"nbf": 4_000_000_000},
            {"sub": ""},
            {"sub": 7},
            {"sub": "x" * 256},
            {"sub": "nobody\n"},
            {"sub": ["somebody"]},
        ],
    )
    def test_wrong_claim(self, at_provider, it, claims):
        it.claims = claims
        self.refused(at_provider, it)

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nonce"])
    def test_missing_claim(self, at_provider, it, name):
        it.without = (name,)
        if name == "nonce":
            it.claims = {"nonce_supported": False}
        self.refused(at_provider, it)

    def test_replayed(self, at_provider, it):
        assert signed_in(sign_in(Browser(at_provider), it))
        it.id_token = it.last_id_token
        page = sign_in(Browser(at_provider), it)
        assert page.status == 400
        assert len(sign_ins(at_provider)) == 1

    def test_another_key(self, at_provider, it):
        it.signing_key = ec.generate_private_key(ec.SECP256R1())
        self.refused(at_provider, it)

    @pytest.mark.parametrize("alg", ["none", "HS256"])
    def test_an_algorithm_that_proves_nothing(self, at_provider, it, alg):
        it.alg, it.signing_key = alg, None if alg == "none" else openid.CLIENT["client_secret"].encode() * 2
        self.refused(at_provider, it)

    def test_none_and_garbage(self, at_provider, it):
        for answer in ({"access_token": "a", "token_type": "Bearer"}, {"id_token": 7}, {"error": "invalid_grant"}, []):
            it.answers = {"/token": (200, {}, json.dumps(answer))}
            at_provider.services.provider._down_until = 0
            page = sign_in(Browser(at_provider), it)
            assert page.status in {400, 503}, page.words
        assert not sign_ins(at_provider)

    def test_the_same_mail_address_is_nobody(self, at_provider, it):
        """T-113, nOAuth: only issuer and subject say who somebody is."""
        it.subject = "attacker"
        it.claims = {"email": "ada@example.com", "email_verified": True, "preferred_username": "ada", "name": "ada"}
        page = sign_in(Browser(at_provider), it)
        assert page.status == 403
        assert "not linked" in page.words
        assert not sign_ins(at_provider)

    def test_the_same_subject_at_another_provider_is_nobody(self, at_provider, it):
        with openid.hostile() as other:
            seed(at_provider, other.issuer)
            other.subject = "somebody"
            page = sign_in(Browser(at_provider), other)
        assert page.status == 403
        assert not sign_ins(at_provider)

    def test_who_may_not_enter_is_told_so(self, at_provider, it):
        user_actions.revoke(at_provider.accounts, "ada", "builder", **at_provider.who)
        page = sign_in(Browser(at_provider), it)
        user_actions.grant(at_provider.accounts, "ada", "builder", **at_provider.who)
        assert page.status == 403
        assert "may not enter" in page.words

    def test_an_old_proof_is_no_new_one(self, at_provider, it):
        browser = Browser(at_provider)
        assert signed_in(sign_in(browser, it))
        for claims in ({"auth_time": at_provider.clock.at - 3600}, {"auth_time": None}, {"auth_time": "now"}):
            it.claims = claims
            answer = it.authorize(depart(browser, "/console/confirm", "/console/confirm/provider"))
            assert come_back(browser, answer).status == 400
        it.claims = {"auth_time": at_provider.clock.at}
        answer = it.authorize(depart(browser, "/console/confirm?next=/console/profile", "/console/confirm/provider"))
        assert come_back(browser, answer).path == "/console/profile"

    def test_a_fresh_key_is_fetched(self, at_provider, it):
        assert signed_in(sign_in(Browser(at_provider), it))
        it.key = it.signing_key = ec.generate_private_key(ec.SECP256R1())
        it.kid = "k2"
        assert signed_in(sign_in(Browser(at_provider), it))


class TestProviderAstray:
    """Down, slow, or sending us where we must not go: only its own sign-ins suffer (T-161)."""

    def fails(self, at_provider, it):
        browser = Browser(at_provider)
        page = browser.get("/console/sign-in").send("/console/sign-in/provider")
        assert page.status == 503, page.words
        assert "Example ID does not answer as it should" in page.words
        assert page.value("username") == ""  # the password is still a way in
        assert at_provider.token().status_code == 200

    def test_down(self, at_provider):
        seed(at_provider, "http://127.0.0.1:9")
        self.fails(at_provider, None)

    @pytest.mark.parametrize(
        "metadata",
        [
            {"issuer": "https://other.example"},
            {"issuer": None},
            {"token_endpoint": "http://192.0.2.1/token"},
            {"token_endpoint": "http://other.example/token"},
            {"token_endpoint": "https://169.254.169.254/token"},
            {"token_endpoint": "https://10.0.0.1/token"},
            {"token_endpoint": "https://2130706433/token"},
            {"token_endpoint": "https://0x7f.1/token"},
            {"token_endpoint": "https://localhost/token"},
            {"token_endpoint": "https://[::ffff:127.0.0.1]/token"},
            {"token_endpoint": "https://[::a00:1]/token"},
            {"token_endpoint": "https://[64:ff9b::a00:1]/token"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "https://user@id.example.com/jwks"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"authorization_endpoint": "https://[broken"},
            {"token_endpoint": None},
            {"id_token_signing_alg_values_supported": ["none", "HS256"]},
            {"id_token_signing_alg_values_supported": 7},
        ],
    )
    def test_what_it_says_about_itself(self, at_provider, it, metadata):
        it.metadata = metadata
        self.fails(at_provider, it)

    def test_nothing_it_redirects_to_is_followed(self, at_provider, it):
        with openid.hostile() as other:
            moved = (302, {"Location": f"{other.issuer}/.well-known/openid-configuration"}, "{}")
            it.answers = {"/.well-known/openid-configuration": moved}
            self.fails(at_provider, it)
            assert not other.asked

    def test_a_token_endpoint_that_redirects_gets_no_secret_sent_on(self, at_provider, it):
        with openid.hostile() as other:
            it.answers = {"/token": (307, {"Location": f"{other.issuer}/token"}, "{}")}
            assert sign_in(Browser(at_provider), it).status == 503
            assert not other.asked
        assert not sign_ins(at_provider)

    @pytest.mark.parametrize("body", ["not json", "[]", '"x"', "", "{" * 5000])
    def test_garbage(self, at_provider, it, body):
        it.answers = {"/.well-known/openid-configuration": (200, {}, body)}
        self.fails(at_provider, it)

    def test_an_error(self, at_provider, it):
        it.answers = {"/.well-known/openid-configuration": (500, {}, "{}")}
        self.fails(at_provider, it)

    def test_too_much(self, at_provider, it, monkeypatch):
        monkeypatch.setattr(provider_module, "MAX_BYTES", 1000)
        it.answers = {"/.well-known/openid-configuration": (200, {}, " " * 1001)}
        self.fails(at_provider, it)

    @pytest.mark.parametrize("how", ["delay", "drip"])
    def test_slow(self, at_provider, it, how, monkeypatch):
        monkeypatch.setattr(provider_module, "TOTAL_SECONDS", 0.5)
        setattr(it, how, 3)
        self.fails(at_provider, it)
        assert len(it.asked) == 1
        page = Browser(at_provider).get("/console/sign-in").send("/console/sign-in/provider")
        assert page.status == 503
        assert len(it.asked) == 1, "it is left alone for a while"

    def test_it_recovers(self, at_provider, it):
        it.answers = {"/.well-known/openid-configuration": (500, {}, "{}")}
        self.fails(at_provider, it)
        it.answers = {}
        at_provider.services.provider._down_until = 0
        assert signed_in(sign_in(Browser(at_provider), it))


class TestCommands:
    def test_link_list_unlink(self, world):
        shell = Shell(world.app)
        identity = ("--issuer", "https://id.example.com/", "--subject", "248289761001")
        shell.json("users", "link-identity", "ADA", *identity)
        (record,) = world.accounts.audit_newest(1)
        assert record.event == "user.identity_linked"
        assert json.loads(record.detail)["subject"] == "248289761001"
        (found,) = shell.json("users", "identities", "ada")
        assert (found["issuer"], found["subject"]) == ("https://id.example.com/", "248289761001")
        assert shell("users", "link-identity", "ada", *identity).code == 4
        builder(world, "bob")
        assert shell("users", "link-identity", "bob", *identity).code == 4
        assert shell("users", "unlink-identity", "bob", *identity).code == 3
        shell.json("users", "unlink-identity", "ada", *identity)
        assert world.accounts.audit_newest(1)[0].event == "user.identity_unlinked"
        assert shell.json("users", "identities", "ada") == []

    @pytest.mark.parametrize(
        ("issuer", "subject"),
        [("id.example.com", "1"), ("https://", "1"), ("https://id.example.com", ""), ("https://id.example.com", "é")],
    )
    def test_what_cannot_be(self, world, issuer, subject):
        shell = Shell(world.app)
        assert shell("users", "link-identity", "ada", "--issuer", issuer, "--subject", subject).code == 6


def test_no_secret_in_the_settings_repr():
    shown = repr(ProviderSettings("https://id.example.com", "console", "the-secret", "x"))
    assert "the-secret" not in shown
