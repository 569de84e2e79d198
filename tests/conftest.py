"""Shared by all tests: both databases, a clock that stands still, and the services."""

import base64
import sys

import pytest
from flask import Flask
from jinja2 import BytecodeCache
from werkzeug.routing import Rule
from werkzeug.test import Client

from app import create_app
from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.store.tokens import one_time_ids

pytest_plugins = [
    "tests.support.databases",
    "tests.support.client_server",
    "tests.support.clients_js_plugin",
    "tests.support.console_browser",
    "tests.support.chromium",
    "tests.support.console_server",
]


LONGEST = (
    "crash",
    "kit",
    "cli_process",
    "journeys",
    "history",
    "state_machine",
    "journeys_credentials",
    "rotations_under_load",
    "pooler",
    "partition",
    "idle_nodes",
    "image",
    "sqlite_library",
    "schema_window",
    "docs",
)
"""Begun first, so that in the end no process is left alone with a long one.

What starts many commands, each with a deadline, comes behind what keeps all processors busy.
"""


NOT_QUICK = {
    "test_chromium", "test_clients", "test_clients_js", "test_clients_page", "test_crash", "test_docs", "test_bench",
    "test_history", "test_idle_nodes", "test_journeys", "test_journeys_administration", "test_journeys_credentials",
    "test_journeys_narrow", "test_rotations_under_load", "test_cli_process", "test_databases", "test_migrations",
    "test_full_disk", "test_pooler", "test_scanners", "test_schema_window",
    "test_restore", "test_spring", "test_state_machine", "test_verifier_history",
    "test_start", "test_sqlite_library", "test_failover", "test_modes_on_one_clock", "test_kit", "test_agents",
    "test_fleet", "test_image", "test_proxies", "test_gateways", "test_recipes",
}  # fmt: skip
"""Modules that start servers, browsers, npm or PostgreSQL, or take long: left out by `make check`."""


def _is_quick(item):
    return item.path.stem not in NOT_QUICK and "postgresql" not in item.name and "RealProvider" not in item.nodeid


def pytest_collection_modifyitems(items):
    for item in items:
        if _is_quick(item):
            item.add_marker("quick")
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def _compile_url_builders_once():
    """Let applications share the functions that build URLs: most of what an application costs is compiling them.

    Werkzeug compiles two for each route, from the text of the route alone, and every test makes an application.
    """
    compile_builder, builders = Rule._compile_builder, {}

    def compiled(rule, append_unknown=True):
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        key = (rule.rule, tuple(rule._trace), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(rule, append_unknown)
        return builders[key]

    Rule._compile_builder = compiled


_compile_url_builders_once()


class CompiledTemplates(BytecodeCache):
    """The code of templates, shared by all applications of a process: each would compile the pages it shows anew."""

    def __init__(self):
        self._code = {}

    def load_bytecode(self, bucket):
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket):
        self._code[bucket.key, bucket.checksum] = bucket.code


Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": CompiledTemplates()}


class DuringTests:
    """Standard error while a test runs; what threads write between two tests is not shown among the dots."""

    running = False

    def write(self, text):
        if DuringTests.running:
            sys.stderr.write(text)

    def flush(self):
        if DuringTests.running:
            sys.stderr.flush()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call():
    DuringTests.running = True
    try:
        return (yield)
    finally:
        DuringTests.running = False


# A machine of CI may have been started just now, and tests sign what was made a while ago.
one_time_ids.machine_started_at = lambda now: 0


class FixedClock:
    """Moves only when told."""

    def __init__(self, at=1_800_000_000):
        self.at = at

    def now(self, database=None):
        return self.at


class World:
    """One server over one database, with a user, an API and a credential."""

    def __init__(self, url, **more):
        self.clock = FixedClock()
        self.url = url
        settings = Config(database_url=url, master_key="A" * 43, issuer="http://127.0.0.1:8000", **more)
        self.app = create_app(settings, clock=self.clock, background=False)
        self.services = self.app.extensions["services"]
        self.services.migrate()
        self.store = self.services.store()
        self.services.log_stream = DuringTests()
        self.http = Client(self.services.wsgi())
        for name, kind in (("reader", "operational"), ("writer", "operational"), ("builder", "builder")):
            role_actions.create_role(self.accounts, name, kind, (), **self.who)
        user_actions.create_user(self.accounts, "ada", ["reader", "writer", "builder"], **self.who)
        api = resource_server_actions.register_resource_server(
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
    from tests.support import databases

    return databases.fresh_sqlite_url(tmp_path) if request.param == "sqlite" else databases.fresh_postgres_url()


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    from tests.support import stores

    world = World(stores.migrated_url(request.param, tmp_path))
    yield world
    world.services.close()
