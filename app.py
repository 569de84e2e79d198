"""Builds everything once and starts the production server: ``python app.py``."""

import contextlib
import os
import time
from pathlib import Path

from flask import Flask
from flask_migrate import Migrate, upgrade

from authserver.actions.issue_token import Issued
from authserver.oauth.introspection import IntrospectionDoor, RevocationDoor
from authserver.oauth.metadata import jwks_door, metadata_door
from authserver.oauth.mount import Doors, routes
from authserver.oauth.token import TokenServer
from authserver.ports import Clock
from authserver.settings import Settings, load
from authserver.store.engine import engine_options, prepare
from authserver.store.opening import Store, open_store
from authserver.store.tables import db
from keys.master import MasterKey
from keys.material import ALGORITHMS, make
from keys.signing import TokenReader, TokenSigner

HERE = Path(__file__).resolve().parent


class SystemClock:
    """The database's clock where it told it, else this machine's."""

    def now(self, database: int | None = None) -> int:
        """Whole seconds of UTC."""
        return database if database is not None else int(time.time())


class KeyRoom:
    """Signs with the active key and reads what any of our keys signed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._signers: dict[str, TokenSigner] = {}
        self._reader = TokenReader(store.keys.public())

    def sign(self, issued: Issued) -> str:
        """Sign an access token with the key that was active when its facts were read."""
        return self._signer(issued.kid).sign(issued.claims)

    def sign_answer(self, claims: dict[str, object]) -> str:
        """Sign an introspection answer (RFC 9701)."""
        active = next(key for key in self._store.keys.ring() if key.state == "active")
        return self._signer(active.kid).sign(claims, "token-introspection+jwt")

    def read(self, text: str) -> tuple[str, dict[str, object]] | None:
        """Read an access token; a key made since is fetched once it is seen."""
        kid = self._reader.peek_kid(text)
        if kid is not None and kid not in self._reader and kid in self._store.keys.public(kid):
            self._reader = TokenReader(self._store.keys.public())
        return self._reader.read(text)  # type: ignore[return-value]

    def _signer(self, kid: str) -> TokenSigner:
        signer = self._signers.get(kid)
        if signer is None:
            alg, sign = self._store.keys.signer(kid)
            signer = self._signers[kid] = TokenSigner(kid, alg, sign)
        return signer


def create_app(settings: Settings | None = None, *, clock: Clock | None = None, background: bool = True) -> Flask:
    """Build the application; the database is opened by the first request or command that needs it."""
    settings = settings or load()
    instance = HERE / "instance"
    url = settings.database_url or f"sqlite:///{instance / 'authserver.db'}"
    app = Flask(__name__, instance_path=str(instance))
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    Migrate(app, db, directory=str(HERE / "migrations"))
    with app.app_context():
        prepare(db.engine)
        app.extensions["house"] = House(settings, app, clock or SystemClock(), background=background)
    return app


class House:
    """The opened store and the doors of one process."""

    def __init__(self, settings: Settings, app: Flask, clock: Clock, *, background: bool) -> None:
        self._settings, self._app, self._clock, self._background = settings, app, clock, background
        self._store: Store | None = None

    @property
    def issuer(self) -> str:
        """Our issuer identifier; configuration only, never a request (INV-32)."""
        return self._settings.issuer or f"http://{self._settings.bind}"

    def master(self) -> MasterKey:
        """The master key from the settings, else from the instance folder."""
        text = self._settings.master_key.get_secret_value()
        path = HERE / "instance" / "master.key"
        if not text and not path.exists() and not self._settings.database_url:
            path.parent.mkdir(exist_ok=True)
            with (
                contextlib.suppress(FileExistsError),
                os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
            ):
                file.write(MasterKey.fresh())
        if not text and path.exists():
            text = path.read_text(encoding="ascii")
        return MasterKey(text)

    def migrate(self) -> None:
        """Bring the schema up to date; safe from many processes at once."""
        with self._app.app_context():
            upgrade()

    def store(self) -> Store:
        """The store, opened once."""
        if self._store is None:
            with self._app.app_context():
                self._store = open_store(db.engine, self.master(), self._clock, background=self._background)
            self._ensure_key(self._store)
        return self._store

    def _ensure_key(self, store: Store) -> None:
        if any(key.state == "active" for key in store.keys.ring()):
            return
        key = make(store.accounts.general().token_alg, self.master())
        now = self._clock.now(None)
        store.keys.add(key, "system", now)
        store.keys.activate(key.kid, "system", now)

    def wsgi(self) -> Doors:
        """The machine doors in front of Flask."""
        store = self.store()
        room, issuer = KeyRoom(store), self.issuer
        tokens = TokenServer(hot=store.hot, activity=store.activity, sign=room.sign, issuer=issuer, pepper=store.pepper)
        asked = IntrospectionDoor(
            hot=store.hot,
            sessions=store.sessions,
            activity=store.activity,
            read=room.read,
            sign=room.sign_answer,
            issuer=issuer,
            pepper=store.pepper,
        )
        ended = RevocationDoor(
            hot=store.hot, sessions=store.sessions, read=room.read, issuer=issuer, pepper=store.pepper
        )
        table = routes(
            {
                "/oauth/token": tokens.door,
                "/auth/oauth/token": tokens.door,
                "/oauth/introspect": asked.door,
                "/oauth/revoke": ended.door,
            },
            {
                "/.well-known/jwks.json": jwks_door(store.keys.ring),
                "/.well-known/oauth-authorization-server": metadata_door(issuer, ALGORITHMS, openid=False),
                "/.well-known/openid-configuration": metadata_door(issuer, ALGORITHMS, openid=True),
            },
        )
        return Doors(table, self._app.wsgi_app)
