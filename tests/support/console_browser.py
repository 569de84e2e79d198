"""A person at the console, as a browser without JavaScript: follows links, fills in forms, keeps cookies."""

import functools
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from werkzeug.test import Client

from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions

PASSWORD = "correct horse battery 9"


class Reader(HTMLParser):
    """Collects the forms of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.words, self._select = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.forms.append({"action": given.get("action"), "method": given.get("method", "get"), "fields": []})
        elif self.forms and tag == "input" and given.get("name"):
            ticked = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            if ticked:
                self.forms[-1]["fields"].append((given["name"], given.get("value") or ""))
        elif self.forms and tag == "select":
            self._select = given.get("name")
        elif tag == "option" and self._select and "selected" in given:
            self.forms[-1]["fields"].append((self._select, given.get("value") or ""))
        elif self.forms and tag == "textarea" and given.get("name"):
            self.forms[-1]["fields"].append((given["name"], ""))

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None

    def handle_data(self, data):
        self.words.append(data)


class Page:
    """An answer, and the browser that got it."""

    def __init__(self, browser, answer, path):
        self.browser, self.answer, self.path = browser, answer, path
        self.status, self.text = answer.status_code, answer.text
        self._read = Reader(self.text)

    @property
    def words(self):
        """The text as a person sees it, on one line."""
        return re.sub(r"\s+", " ", " ".join(self._read.words)).strip()

    def form(self, action=None):
        """The fields of the form sent to ``action``; the last one when not told."""
        for form in reversed(self._read.forms):
            if action is None or form["action"] == action or (form["action"] is None and action == self.path):
                return form
        raise AssertionError(f"no form for {action} on {self.path}")

    def value(self, name):
        """What a field holds."""
        return next(value for form in self._read.forms for key, value in form["fields"] if key == name)

    def send(self, action=None, **values):
        """Fill in a form and send it; a list ticks several boxes."""
        form = self.form(action)
        fields = [(key, value) for key, value in form["fields"] if key not in values]
        for key, value in values.items():
            fields += [(key, each) for each in (value if isinstance(value, list | tuple) else [value])]
        data = {}
        for key, value in fields:
            data.setdefault(key, []).append(value)
        return self.browser.post(form["action"] or self.path, data)


class Browser:
    """One person's browser."""

    def __init__(self, world, peer="127.0.0.1"):
        self.world, self.client, self._peer = world, Client(world.http.application), {"REMOTE_ADDR": peer}

    def get(self, path, *, follow=True, **headers):
        return self._asked("GET", path, None, follow, headers)

    def post(self, path, data=None, *, follow=True, **headers):
        """Send a form as it is told; ``send`` of a page fills in what the page holds."""
        return self._asked("POST", path, data or {}, follow, headers)

    def _asked(self, method, path, data, follow, headers):
        peer = self._peer
        answer = self.client.open(path, method=method, data=data, headers=headers, environ_overrides=peer)
        for _ in range(5):
            if not follow or answer.status_code not in {302, 303}:
                break
            path = answer.headers["Location"]
            answer = self.client.get(path, headers=headers, environ_overrides=peer)
        return Page(self, answer, path)

    def csrf(self):
        """The token of this browser's forms."""
        return unescape(re.search(r'name="_csrf" value="([^"]+)"', self.get("/console/help").text)[1])

    def sign_in(self, username="ada", password=PASSWORD, at="/console/sign-in"):
        return self.get(at).send("/console/sign-in", username=username, password=password)

    @property
    def cookie(self):
        found = self.client.get_cookie("console") or self.client.get_cookie("__Host-console")
        return found.value if found else None

    @property
    def path(self):
        return urlsplit(self.get("/console/").path).path


@functools.cache
def quick_hash(password):
    """A real hash of the same kind that costs little: the cost stands in the hash, and a test signs in a lot."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


def with_password(world, username="ada", password=PASSWORD):
    """Give a user a password."""
    user_actions.set_password(world.accounts, username, quick_hash(password), **world.who)


def builder(world, username="bob", permissions=(), password=PASSWORD):
    """Make somebody who may enter the console, with these permissions."""
    role = f"builder-{username}"
    role_actions.create_role(world.accounts, role, "builder", permissions, **world.who)
    return user_actions.create_user(
        world.accounts, username, ["reader", role], password_hash=quick_hash(password), **world.who
    )


def signed_in(world, username="ada"):
    """A browser in which somebody is signed in; ``ada`` gets a password first."""
    if username == "ada":
        with_password(world)
    browser = Browser(world)
    page = browser.sign_in(username)
    assert page.status == 200, page.words
    assert page.path.startswith("/console/"), page.path
    return browser


@pytest.fixture
def browser(world):
    """Ada (builder role without permissions), signed in, over a world of its own on each database."""
    return signed_in(world)
