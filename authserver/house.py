"""Furnishes the rooms of one process and hangs the doors.

``app.py`` reads the settings and says what the house is made of; here it is
put together: the store is opened by the first request or command that needs
it, once, and the machine doors stand as bare WSGI in front of Flask.
"""

import ipaddress
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from authserver.actions import administer, signing_keys
from authserver.actions.issue_token import Issued
from authserver.actions.refusals import RefusalBook
from authserver.chores import Chore, Chores
from authserver.key_room import KeyRoom
from authserver.oauth.introspection import IntrospectionDoor, RevocationDoor
from authserver.oauth.metadata import jwks_door, metadata_door, post_quantum_door
from authserver.oauth.mount import Doors, routes
from authserver.oauth.reading import TokenBook
from authserver.oauth.token import TokenServer
from authserver.oauth.transport import Transport
from authserver.oauth.verifiers import Readers
from authserver.observer import Observer
from authserver.ports import TRIES_FORGOTTEN, Clock, Conflict, Unavailable
from authserver.rules.facts import Instant
from authserver.store.clock import database_time
from authserver.store.opening import Store, open_store
from authserver.store.schema import MIGRATIONS
from authserver.store.tables import db
from authserver.store.upkeep import Upkeep
from authserver.store.witness import Witness
from authserver.telemetry.logs import logger
from authserver.telemetry.requests import RequestLog
from authserver.web.console.elsewhere import ProviderSettings
from authserver.web.health import Health
from keys.holders import DatabaseHolder, KeyHolder, PemHolder
from keys.master import MasterKey
from keys.pkcs11_holder import Pkcs11Holder
from keys.rotation import Generate, Step

if TYPE_CHECKING:
    from authserver.web.console.provider import Provider

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_SKEW_SECONDS = 30
"""How far this machine's clock may be from the database's before the node stops serving."""

SWEEP_SECONDS = 3600.0
TICK_SECONDS = 60.0
"""How often a node looks whether a key must be made, promoted or withdrawn."""
FLUSH_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""How often a node looks whether the database became older under it, and notes how new it is."""
COUNT_SECONDS = 30.0
KEEP_SECONDS = 30 * 24 * 3600
"""How long a session stays on record behind its end, for its owner to see why it ended."""

KEEP_SIGN_INS_SECONDS = 24 * 3600
"""How long a sign-in is kept behind its last use: whoever comes back to a half-filled form finds it filled."""


class SystemClock:
    """The database's clock where it told it, else this machine's."""

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC.

        Raises:
            Unavailable: this machine's clock is too far from the database's.
        """
        mine = int(time.time())
        if database is None:
            return mine
        if abs(mine - database) > MAX_SKEW_SECONDS:
            msg = f"this machine's clock is {mine - database} s away from the database's; set it right (NTP)"
            raise Unavailable(msg)
        return database


@dataclass(frozen=True, slots=True)
class Plan:
    """What the house is made of; all of it from configuration, nothing from a request (INV-32)."""

    issuer: str
    master_key: str
    instance: Path
    embedded: bool
    trusted_proxies: tuple[Network, ...] = ()
    metrics_peers: tuple[Network, ...] = ()
    other_master_key: str = ""
    state: Path = Path("instance")
    key_store: str = "database"
    pkcs11: tuple[str, str, str] = ("", "", "")
    """Module, token label, user PIN."""
    provider: ProviderSettings | None = None
    log_level: str = "info"


class House:
    """The opened store and the doors of one process."""

    def __init__(self, plan: Plan, app: Flask, clock: Clock, *, background: bool) -> None:
        self.plan, self._app, self._system_clock, self._background = plan, app, clock, background
        self._store: Store | None = None
        self._keys: KeyRoom | None = None
        self._witness: Witness | None = None
        self._opening = threading.Lock()
        self._closers: list[Callable[[], None]] = []
        self._transport = Transport(plan.trusted_proxies)
        self._book: RefusalBook | None = None
        self._observer: Observer | None = None
        self.provider = _provider(plan.provider) if plan.provider else None

    @property
    def issuer(self) -> str:
        """Our issuer identifier."""
        return self.plan.issuer

    @property
    def clock(self) -> "HouseClock":
        """The clock for changes: the database's where there is one that all nodes share."""
        return HouseClock(self, self._system_clock)

    def master(self) -> MasterKey:
        """The master key from the settings, else from the instance folder, made there for the embedded database.

        Raises:
            WrongMasterKey: there is none, or it is malformed.
        """
        text, path = self.plan.master_key, self.plan.instance / "master.key"
        if not text and self.plan.embedded:
            if not path.exists():
                _write_once(path, MasterKey.fresh())
            text = path.read_text(encoding="ascii")
        return MasterKey(text, self.plan.other_master_key)

    @cached_property
    def holders(self) -> dict[str, KeyHolder]:
        """Everywhere that a private key may be kept, by the name the ring knows it by."""
        master = self.master()
        found: dict[str, KeyHolder] = {
            "database": DatabaseHolder(master),
            "pem": PemHolder(self.plan.state / "keys", master),
        }
        if self.plan.pkcs11[0]:
            found["pkcs11"] = Pkcs11Holder(*self.plan.pkcs11)
        return found

    @property
    def holder(self) -> KeyHolder:
        """Where new keys are kept."""
        return self.holders[self.plan.key_store]

    def migrate(self) -> None:
        """Bring the schema up to date; safe from many processes at once.

        Raises:
            Invalid: the schema is that of a newer program.
            Unavailable: the database cannot be reached.
        """
        with self._app.app_context():
            Upkeep(db.engine, MIGRATIONS).upgrade()

    def store(self) -> Store:
        """The store, opened once.

        Raises:
            Unavailable: the database cannot be reached, or its schema is not this program's.
            WrongMasterKey: the database was sealed under another master key.
        """
        with self._opening:
            if self._store is None:
                with self._app.app_context():
                    engine = db.engine
                self._store = open_store(
                    engine, self.master(), self._system_clock, background=self._background, holders=self.holders
                )
                self._witness = Witness(self._store.held, self.plan.state, self._store.pepper)
                self._look_back(self._store)
                self._ensure_key(self._store)
            return self._store

    def _look_back(self, store: Store) -> None:
        """End every token when the database is older than this machine knows it (INV-03)."""
        witness = self._witness
        older = witness.look() if witness is not None else None
        if witness is None or older is None:
            return
        logger().error("database_is_older", reason=older.why)
        with suppress(Conflict):
            administer.declare_restored(
                store.accounts, actor="system", now=self.clock_of(store), found=older.why, since=older.epoch
            )
        witness.note(count_at=self.clock_of(store))

    def keys(self) -> KeyRoom:
        """The opened keys."""
        store = self.store()
        if self._keys is None:
            self._keys = KeyRoom(store.keys)
        return self._keys

    def close(self) -> None:
        """Write what is pending and let go of everything; the house may be opened again."""
        for closer in reversed(self._closers):
            closer()
        self._closers.clear()
        if self._store is not None:
            if self._witness is not None and self._witness.known:
                with suppress(Unavailable, OSError):
                    self._witness.note()
            self._store.close()
        self._store = self._keys = self._book = self._witness = self._observer = None

    def _ensure_key(self, store: Store) -> None:
        if any(key.state == "active" for key in store.keys.ring()):
            return
        room = signing_keys.room(store.accounts, store.keys, self.holder, store.verifiers)
        signing_keys.first(room, store.accounts.general().token_alg, actor="system", now=self.clock_of(store))

    def clock_of(self, store: Store) -> Instant:
        """The time for a change in ``store``."""
        return self._system_clock.now(database_time(store.engine))

    def wsgi(self) -> Doors:
        """The machine doors in front of Flask."""
        store, room, issuer = self.store(), self.keys(), self.plan.issuer

        def sign(issued: Issued) -> str:
            return room.sign(issued.kid, issued.claims)

        tokens = TokenServer(hot=store.hot, activity=store.activity, sign=sign, issuer=issuer, pepper=store.pepper)
        book = TokenBook(room.read, issuer)
        asked = IntrospectionDoor(
            hot=store.hot,
            sessions=store.sessions,
            activity=store.activity,
            book=book,
            sign=room.sign_answer,
            issuer=issuer,
            pepper=store.pepper,
        )
        ended = RevocationDoor(hot=store.hot, sessions=store.sessions, book=book, pepper=store.pepper)
        readers = Readers(hot=store.hot, book=store.verifiers, pepper=store.pepper, clock=self._system_clock)
        table = routes(
            {
                "/oauth/token": tokens.door,
                "/auth/oauth/token": tokens.door,
                "/oauth/introspect": asked.door,
                "/oauth/revoke": ended.door,
            },
            {
                "/.well-known/jwks.json": jwks_door(store.keys.ring, readers.saw),
                "/.well-known/jwks-pq.json": post_quantum_door(store.keys.ring),
                "/.well-known/oauth-authorization-server": metadata_door(issuer, store.keys.ring, openid=False),
                "/.well-known/openid-configuration": metadata_door(issuer, store.keys.ring, openid=True),
            },
            issuer,
        )
        observer = Observer(store, lambda: self.clock_of(store), RequestLog(least=self.plan.log_level))
        self._closers.append(observer.close)
        self._observer = observer
        self._app.extensions["health"] = Health(
            ready=self.ready, metrics=observer.exposition, metrics_peers=self.plan.metrics_peers
        )
        if self._background:
            self._keep_house(store)
        return Doors(table, self._app.wsgi_app, observer.saw, transport=self._transport)

    def way(self, environ: Mapping[str, Any]) -> tuple[str, bool]:
        """The caller's address, and whether nobody can listen in on the way from there."""
        return self._transport.way(environ)

    def console_request(self, status: int, seconds: float) -> None:
        """Count an answer of the console, where numbers are kept."""
        if self._observer is not None:
            self._observer.metrics.observe("console", status, "", "console", seconds)

    def console_login(self, method: str, outcome: str) -> None:
        """Count somebody who came to sign in to the console, where numbers are kept."""
        if self._observer is not None:
            self._observer.metrics.login(method, outcome)

    def refused(self, reason: str, *, subject: str, peer: str) -> None:
        """Note that the console refused somebody; the first of each kind in a minute reaches the audit."""
        with self._opening:
            if self._book is None and self._store is not None:
                store = self._store
                self._book = RefusalBook(store.accounts, lambda: self.clock_of(store))
                self._closers.append(self._book.close)
        if self._book is not None:
            self._book.note("console", reason, client=subject, peer=peer, minute=int(time.monotonic()) // 60)

    def ready(self) -> dict[str, str]:
        """What keeps this node from serving, by part; empty when nothing does."""
        faults: dict[str, str] = {}
        try:
            store = self.store()
            store.accounts.ping()
            self.clock_of(store)
            self.keys().self_test(store.accounts.general().token_alg)
        except Unavailable as error:
            faults["database"] = str(error)
        return faults

    def _keep_house(self, store: Store) -> None:
        def sweep() -> None:
            now = self.clock_of(store)
            store.verifiers.sweep(now)
            store.sign_ins.sweep(now - KEEP_SIGN_INS_SECONDS)
            store.tries.sweep(now - TRIES_FORGOTTEN)
            logger().info("sessions_swept", count=store.sessions.sweep(now, KEEP_SECONDS))

        witness = Witness(store.held, self.plan.state, store.pepper)

        def remember() -> None:
            self._look_back(store)
            witness.note()

        chores = Chores(
            [
                Chore("look back", LOOK_SECONDS, remember),
                Chore("count", COUNT_SECONDS, lambda: witness.note(count_at=self.clock_of(store))),
                Chore("sweep", SWEEP_SECONDS, sweep),
                Chore("rotate keys", TICK_SECONDS, lambda: self.tick(store)),
                Chore("write fetches", FLUSH_SECONDS, store.verifiers.flush),
                Chore("forget keys", FLUSH_SECONDS, self.keys().forget_retired),
            ]
        )
        chores.start()
        self._closers.append(chores.stop)

    def tick(self, store: Store) -> tuple[Step, ...]:
        """Do what the rotation of keys makes due; safe from many processes at once."""
        store.keys.destroy_spent()
        room = signing_keys.room(store.accounts, store.keys, self.holder, store.verifiers)
        done = signing_keys.tick(room, actor="system", now=self.clock_of(store))
        for step in done:
            logger().info(
                "key_step", step=type(step).__name__, key=step.alg if isinstance(step, Generate) else step.kid
            )
        return done


class HouseClock:
    """What time a change is made at: one clock for all nodes where there is one."""

    def __init__(self, house: House, system: Clock) -> None:
        self._house, self._system = house, system

    def now(self, database: Instant | None = None) -> Instant:
        """Whole seconds of UTC."""
        if database is not None:
            return self._system.now(database)
        return self._house.clock_of(self._house.store())


def _provider(settings: ProviderSettings) -> "Provider":
    # Only a house that has one pays for its client.
    from authserver.web.console.provider import Provider  # noqa: PLC0415

    return Provider(settings)


def _write_once(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link succeeds for one process only, and what it shows is whole.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
