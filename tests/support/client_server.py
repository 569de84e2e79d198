"""A really started server with a user, a credential and an API for each algorithm: what real clients talk to."""

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

import pytest
import requests

from app import create_app
from authserver.actions import credentials, general_settings
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.preconditions.client_keys import public_key
from authserver.config import Config
from keys.master import MasterKey
from keys.material import make
from tests.support import databases
from tests.support.deadlines import wait_until

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
ROLES = ("reader", "writer")


@contextlib.contextmanager
def started(url, key):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUTHSERVER_")}
    env |= {
        "AUTHSERVER_DATABASE_URL": url,
        "AUTHSERVER_MASTER_KEY": key,
        "AUTHSERVER_BIND": f"127.0.0.1:{port}",
        "AUTHSERVER_DEMO": "0",
        "AUTHSERVER_DPOP_NONCE_SECONDS": "60",  # so clients that nobody here wrote show that they handle nonces
    }
    p = subprocess.Popen([sys.executable, "app.py"], env=env)
    base = f"http://127.0.0.1:{port}"

    def ready():
        assert p.poll() is None, "the server ended"
        try:
            return requests.get(base + "/readyz", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until("the server to be ready", ready, pause=0.05)
        yield base
    finally:
        p.terminate()
        p.wait(60)


@dataclass(frozen=True, repr=False)
class Api:
    audience: str
    id: str
    secret: str
    alg: str


class Site:
    """The server's address, who may use it, and the services behind it, to rotate keys and take roles away."""

    def __init__(self, url, master_key, issuer):
        self.issuer = issuer
        settings = Config(database_url=url, master_key=master_key, issuer=issuer)
        self.services = create_app(settings, background=False).extensions["services"]
        self.store = self.services.store()
        for name in ROLES:
            role_actions.create_role(self.store.accounts, name, "operational", (), **self.who)
        user_actions.create_user(self.store.accounts, "ada", list(ROLES), **self.who)
        self.apis = {alg: self._api(alg) for alg in ALGORITHMS}
        general_settings.set_general(self.store.accounts, "max_credentials_per_user", "1000", **self.who)
        general_settings.set_general(self.store.accounts, "default_audience", self.apis["ES256"].audience, **self.who)
        self.client_id, self.client_secret = self._credential()
        _, self.other_secret = self._credential()

    @property
    def who(self):
        return {"actor": "test", "now": self.services.clock.now()}

    @property
    def client(self):
        return self.client_id, self.client_secret

    @property
    def token_url(self):
        return f"{self.issuer}/oauth/token"

    @property
    def introspection_url(self):
        return f"{self.issuer}/oauth/introspect"

    @property
    def revocation_url(self):
        return f"{self.issuer}/oauth/revoke"

    @property
    def jwks_url(self):
        return f"{self.issuer}/.well-known/jwks.json"

    def token(self, alg, **form):
        asked = {"grant_type": "client_credentials", "resource": self.apis[alg].audience, **form}
        answer = requests.post(self.token_url, data=asked, auth=self.client, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def stage(self, alg):
        return self.store.keys.add(make(alg, self.services.master()), "test", self.who["now"]).kid

    def rotate(self, alg):
        return self.store.keys.rotate(alg, make(alg, self.services.master()), "test", self.who["now"])

    def _api(self, alg):
        self.rotate(alg)
        audience = f"https://{alg.lower()}.example.com"
        made = resource_server_actions.register_resource_server(
            self.store.accounts, alg, audience, token_alg=alg, pepper=self.store.pepper, **self.who
        )
        return Api(audience, made.server.client_id, made.secret, alg)

    def keyed(self, signer):
        """The client id of a new credential that has the key of ``signer`` and no secret."""
        end, alg = self.who["now"] + 90 * 86400, signer.alg if signer.alg in {"RS256", "PS256"} else ""
        made = credentials.create(
            self.store.accounts,
            "ada",
            "keyed",
            end,
            ROLES,
            pepper=self.store.pepper,
            key=public_key(signer.pem, alg),
            **self.who,
        )
        return made.credential.client_id

    def _credential(self):
        end = self.who["now"] + 90 * 86400
        made = credentials.create(self.store.accounts, "ada", "bot", end, ROLES, pepper=self.store.pepper, **self.who)
        return made.credential.client_id, made.secret


@pytest.fixture(scope="session")
def _sites(tmp_path_factory):
    """Start each site once, whatever order the tests run in."""
    running = {}
    with contextlib.ExitStack() as closing:

        def site_on(database):
            if database not in running:
                running[database] = closing.enter_context(_opened(database, tmp_path_factory))
            return running[database]

        yield site_on


@contextlib.contextmanager
def _opened(database, tmp_path_factory):
    fresh = database == "postgresql" and databases.fresh_postgres_url
    url = fresh() if fresh else databases.fresh_sqlite_url(tmp_path_factory.mktemp("site"))
    master_key = MasterKey.fresh()
    with started(url, master_key) as issuer:
        site = Site(url, master_key, issuer)
        try:
            yield site
        finally:
            site.services.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request, _sites):
    """A site that other tests use too: who changes it must leave its roles, its credential and its APIs as they are."""
    return _sites(request.param)
