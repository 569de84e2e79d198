"""A started server with a lived-in console: people, roles, used credentials, APIs, and one who manages it all."""

import contextlib
import time

import pytest
import requests
from sqlalchemy import update
from werkzeug.test import Client

from app import create_app
from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.rules.permission import PERMISSIONS
from keys.master import MasterKey
from tests.support import databases, servers

PASSWORD = "correct horse battery 9"
DAY = 86400


def sign_in(current_user, username="ada"):
    """Sign in by name and password in whatever language; the page."""
    current_user.go("/console/sign-in")
    return type_password(current_user, username)


def type_password(current_user, username):
    """Fill in the form that asks who it is; the page."""
    page = current_user.page
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url("**/console/credentials*")
    return page


class PastClock:
    """A clock of the past."""

    def __init__(self, seconds):
        self.seconds = seconds

    def now(self, database=None):
        return int(time.time()) - self.seconds


class ConsoleSite:
    """The server's address, and the services behind it, to make people and things."""

    def __init__(self, server, database, master_key):
        self.url, self.server = server.url, server
        self.told = Config(database_url=database, master_key=master_key, issuer=server.url)
        self.services = create_app(self.told, background=False).extensions["services"]
        self.store = self.services.store()
        for name in ("invoices.read", "invoices.write", "payroll.read", "reports.read"):
            role_actions.create_role(self.accounts, name, "operational", (), **self.who)
        role_actions.create_role(self.accounts, "builder", "builder", (), **self.who)
        role_actions.create_role(self.accounts, "administrator", "builder", PERMISSIONS, **self.who)
        self.apis = [self._api("Invoices API", "https://invoices.example.com")]
        self.person("ada", "invoices.read", "invoices.write", "payroll.read", "administrator")
        self.person("grace", "reports.read", "builder")

    @property
    def accounts(self):
        return self.store.accounts

    @property
    def who(self):
        return {"actor": "test", "now": self.services.clock.now()}

    def person(self, name, *roles):
        """Somebody with a password."""
        kept = user_actions.hash_password(name, PASSWORD)
        return user_actions.create_user(self.accounts, name, list(roles), password_hash=kept, **self.who)

    def credential(self, owner, name, *roles, days=90):
        """A credential; its id and secret."""
        end = self.who["now"] + days * DAY
        made = credentials.create(
            self.accounts, owner, name, end, list(roles), pepper=self.store.pepper, form_key=None, **self.who
        )
        return made.credential.client_id, made.secret

    def token(self, client, **form):
        """Ask for a token as an integration does."""
        told = {"grant_type": "client_credentials", **form}
        return requests.post(f"{self.url}/oauth/token", data=told, auth=client, timeout=10)

    def use(self, client, method="GET", route="/invoices"):
        """Get a token, let the API ask about it, and wait until that is on record, because pages show what is."""
        before, deadline = len(self.store.sessions.of_credential(client[0])), time.monotonic() + 20
        token = self.token(client).json()["access_token"]
        form = {"token": token, "http_method": method, "http_route": route}
        response = requests.post(f"{self.url}/oauth/introspect", data=form, auth=self.apis[0], timeout=10)
        assert response.json()["active"] is True
        while len(self.store.sessions.of_credential(client[0])) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return token

    def lives(self, token):
        """Whether the API is told that a token lives; asking is use."""
        answer = requests.post(f"{self.url}/oauth/introspect", data={"token": token}, auth=self.apis[0], timeout=10)
        return answer.json()["active"]

    def old_token(self, client, seconds):
        """A token as it was given so long ago: by another node, then."""
        services = create_app(self.told, clock=PastClock(seconds), background=False).extensions["services"]
        try:
            form = {"grant_type": "client_credentials"}
            answer = Client(services.wsgi()).post("/oauth/token", data=form, auth=client)
            assert answer.status_code == 200, answer.text
            services.store().usage.flush()
        finally:
            services.close()
        return answer.get_json()["access_token"]

    def age(self, table, seconds, *columns, **which):
        """Let rows be older than they are: instants of the server's own clock cannot be waited for."""
        older = {name: table.c[name] - seconds for name in columns}
        with self.store.engine.begin() as connection:
            connection.execute(
                update(table).where(*(table.c[name] == value for name, value in which.items())).values(older)
            )

    def live_in(self):
        """What months of work would leave behind."""
        payroll = self.credential("ada", "Payroll bot", "payroll.read", "invoices.read")
        export = self.credential("ada", "Nightly invoice export", "invoices.read", days=9)
        old = self.credential("ada", "Postman on my laptop", "invoices.read", "invoices.write", days=300)
        self.credential("ada", "Trial of the new billing system, to be removed", "invoices.write", days=30)
        for route in ("/invoices", "/invoices/{id}", "/payslips", "/payslips", "/payslips"):
            self.use(payroll, route=route)
        self.use(export, "POST", "/exports")
        self.token((export[0], "acs_" + "0" * 46))
        credentials.regenerate(self.accounts, payroll[0], DAY, pepper=self.store.pepper, form_key=None, **self.who)
        credentials.disable(self.accounts, old[0], **self.who)
        self.payroll = payroll[0]
        return self

    def _api(self, name, audience):
        made = resource_server_actions.register_resource_server(
            self.accounts, name, audience, pepper=self.store.pepper, **self.who
        )
        return made.server.client_id, made.secret


@contextlib.contextmanager
def opened(folder, port=None, **env):
    """Start it on SQLite."""
    database, master_key, port = databases.fresh_sqlite_url(folder), MasterKey.fresh(), port or servers.free_port()
    env |= {"AUTHSERVER_ISSUER": f"http://127.0.0.1:{port}", "AUTHSERVER_DEMO": "0"}
    with servers.start(database, master_key, port=port, env=env) as server:
        site = ConsoleSite(server, database, master_key)
        try:
            yield site
        finally:
            site.services.close()


@pytest.fixture(scope="module")
def site_with_history(tmp_path_factory):
    """One for all tests of a module: who changes something makes a person of their own."""
    with opened(tmp_path_factory.mktemp("console")) as site:
        yield site.live_in()
