"""The real server: its database seeded by its own verbs, its tokens signed by its own keys, run by ``app.py``."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from app import create_app
from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.actions.issue_token import authenticate, issue
from authserver.actions.preconditions.client_assertion import AssertionContext
from authserver.config import Config
from authserver.rules.facts import Instant
from authserver.rules.presented_secret import presented_secret
from authserver.rules.secret_format import CREDENTIAL_PREFIX
from authserver.rules.token_hash import token_hash, token_hash_key
from authserver.services.container import Services
from authserver.store.factory import Store
from authserver.store.tables import usage_writers
from bench.peers.fixtures import basic
from bench.server_process import Running, free_port
from keys.master import MasterKey
from keys.material import make

ISSUER = "http://127.0.0.1:8000"
ES256, RS256 = "https://es256.example.com", "https://rs256.example.com"
"""Two APIs, one for each algorithm."""

ROLES = ("reports.read", "invoices.read", "orders.read")
_OWNERS = 8
_DAYS = 90
_DAY = 86400


@dataclass(slots=True)
class AuthserverUnderTest:
    """One database of this project's server, opened in this process, with the credentials for requests."""

    url: str
    master: str
    services: Services
    clients: Sequence[tuple[str, str]]
    api: tuple[str, str]

    @property
    def store(self) -> Store:
        """The opened store."""
        return self.services.store()

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.store.engine

    @property
    def api_authorization(self) -> str:
        """How the API introduces itself."""
        return basic(*self.api)

    def tokens(self, count: int) -> list[str]:
        """Signed and recorded tokens for the ES256 API, spread over the clients; no server process has seen them."""
        store, signing_service = self.store, self.services.keys()
        hash_key = token_hash_key(store.pepper)
        usage = store.usage
        proven = [
            authenticate(
                presented_secret(name, secret, prefix=CREDENTIAL_PREFIX, pepper=store.pepper),
                ES256,
                hot_path=store.hot_path,
                assertions=AssertionContext(ISSUER, store.one_time_ids),
            )
            for name, secret in self.clients[: min(count, len(self.clients))]
        ]
        made = []
        for number in range(count):
            issued = issue(proven[number % len(proven)], "", ES256, issuer=ISSUER, usage=usage)
            text = signing_service.sign(issued.kid, issued.claims)
            usage.issued(issued.start, token_hash=token_hash(hash_key, text))
            made.append(text)
            if number % 10_000 == 0:
                store.usage.flush()
        store.usage.flush()
        return made

    def batches(self) -> int:
        """How many batches of uses were written, by all processes."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(usage_writers.c.batch), 0))).scalar_one())

    def start(self, *, workers: int, cores: Sequence[int], log: Path) -> Running:
        """Start ``python app.py`` with the settings of production."""
        port = free_port()
        env = {
            "AUTHSERVER_DATABASE_URL": self.url,
            "AUTHSERVER_MASTER_KEY": self.master,
            "AUTHSERVER_BIND": f"127.0.0.1:{port}",
            "AUTHSERVER_ISSUER": ISSUER,
            "AUTHSERVER_WORKERS": str(workers),
            "AUTHSERVER_DEMO": "false",
        }
        return Running("ours", ["app.py"], port, log=log, cores=cores, env=env)

    def close(self) -> None:
        """Let go of the database."""
        self.services.close()


def seed(
    url: str, clients: int, fill: Callable[["AuthserverUnderTest"], None] | None = None, *, at: Instant | None = None
) -> AuthserverUnderTest:
    """Migrate a fresh database and make owners, roles, two APIs and credentials.

    Args:
        url: of an empty database.
        clients: how many credentials.
        fill: adds more rows when all that needs an audit record is made.
        at: when all this happens; now when not told.
    """
    master = MasterKey.fresh()
    services: Services = create_app(
        Config.model_validate({"database_url": url, "master_key": master, "issuer": ISSUER}), background=False
    ).extensions["services"]
    services.migrate()
    store, now = services.store(), int(time.time()) if at is None else at
    accounts, pepper = store.accounts, store.pepper
    for name in ROLES:
        role_actions.create_role(accounts, name, "operational", (), actor="bench", now=now)
    owners = [f"owner-{number}" for number in range(_OWNERS)]
    for owner in owners:
        user_actions.create_user(accounts, owner, ROLES, actor="bench", now=now)
    store.keys.ensure_active(make("RS256", MasterKey(master)), "bench", now)
    api = resource_server_actions.register_resource_server(
        accounts,
        "ES256",
        ES256,
        pepper=pepper,
        actor="bench",
        now=now,
        token_alg="ES256",  # noqa: S106 - an algorithm
    )
    resource_server_actions.register_resource_server(
        accounts,
        "RS256",
        RS256,
        pepper=pepper,
        actor="bench",
        now=now,
        token_alg="RS256",  # noqa: S106 - an algorithm
    )
    made = [
        credentials.create(
            accounts,
            owners[number % _OWNERS],
            f"credential {number}",
            now + _DAYS * _DAY,
            ROLES[:2],
            pepper=pepper,
            actor="bench",
            now=now,
        )
        for number in range(clients)
    ]
    known = [(each.credential.client_id, each.secret) for each in made]
    authserver = AuthserverUnderTest(url, master, services, known, (api.server.client_id, api.secret))
    if fill is not None:
        fill(authserver)
    return authserver
