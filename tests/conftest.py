"""Shared by all tests: both databases, a clock that stands still, and the house."""

import base64

import pytest
from werkzeug.test import Client

from app import create_app
from authserver.actions import administer, credentials, people
from authserver.settings import Settings

pytest_plugins = [
    "tests.databases",
    "tests.client_site",
    "tests.clients_js_plugin",
    "tests.console",
    "tests.browser",
    "tests.console_site",
]


LONGEST = ("crash", "kit", "cli_process", "journeys", "history", "docs", "life", "journeys_credentials", "rotations")
"""Begun first, so that in the end no process is left alone with a long one."""


def pytest_collection_modifyitems(items):
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


class StillClock:
    """Moves only when told."""

    def __init__(self, at=1_800_000_000):
        self.at = at

    def now(self, database=None):
        return self.at


class World:
    """One server over one database, with a user, an API and a credential."""

    def __init__(self, url):
        self.clock = StillClock()
        self.url = url
        settings = Settings(database_url=url, master_key="A" * 43, issuer="http://127.0.0.1:8000")
        self.app = create_app(settings, clock=self.clock, background=False)
        self.house = self.app.extensions["house"]
        self.house.migrate()
        self.store = self.house.store()
        self.http = Client(self.house.wsgi())
        for name, kind in (("reader", "operational"), ("writer", "operational"), ("builder", "builder")):
            people.create_role(self.accounts, name, kind, (), **self.who)
        people.create_user(self.accounts, "ada", ["reader", "writer", "builder"], **self.who)
        api = administer.register_resource_server(
            self.accounts, "api", "https://api.example.com", pepper=self.store.pepper, **self.who
        )
        self.api = (api.server.client_id, api.secret)
        self.client = self.credential()

    @property
    def accounts(self):
        return self.store.accounts

    @property
    def who(self):
        return {"actor": "test", "now": self.clock.at}

    def credential(self, owner="ada", roles=("reader", "writer"), days=90):
        made = credentials.create(
            self.accounts, owner, "bot", self.clock.at + days * 86400, roles, pepper=self.store.pepper, **self.who
        )
        return made.credential.client_id, made.secret

    def post(self, path, form, auth=None, **headers):
        if auth:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        return self.http.post(path, data=form, headers=headers)

    def token(self, client=None, **form):
        return self.post("/oauth/token", {"grant_type": "client_credentials", **form}, client or self.client)

    def access_token(self, client=None, **form):
        answer = self.token(client, **form)
        assert answer.status_code == 200, answer.text
        return answer.json["access_token"]

    def introspect(self, token, auth=None, **form):
        return self.post("/oauth/introspect", {"token": token, **form}, auth or self.api)

    def active(self, token):
        answer = self.introspect(token)
        assert answer.status_code == 200, answer.text
        return answer.json["active"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    from tests import databases

    return databases.fresh_sqlite_url(tmp_path) if request.param == "sqlite" else databases.fresh_postgres_url()


@pytest.fixture
def world(database_url):
    world = World(database_url)
    yield world
    world.house.close()
