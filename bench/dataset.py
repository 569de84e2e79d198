"""Fills a database with a year of a large installation, for the pages of the console.

Unlike ``bench.scale``, whose rows are for the hot paths only, every page has
something to show here: owners with few and with many credentials, all
statuses, thirty days of use, live and ended sessions, and an audit
chain that verifies.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update

from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.audit import canonical, seal, seal_head
from authserver.rules.permission import PERMISSIONS
from authserver.store import tables
from bench import authserver_under_test
from keys.master import MasterKey

ADMINISTRATOR, BUILDER = "administrator", "builder"
"""Two who sign in: one with every permission, one with as many credentials as are allowed."""

ALLOWED = 50
_YEAR, _DAY, _HOUR = 365 * 86400, 86400, 3600
_CREDENTIALS_PER_OWNER = 10
"""Credentials of a usual owner."""

_ROLES = tuple(
    f"{what}.{how}" for what in ("prices", "stock", "people", "ledger", "plans") for how in ("read", "write")
)
_SYSTEMS = ("nightly export", "warehouse sync", "billing run", "report mailer", "shop import", "data lake", "backup")
_PLACES = ("north", "south", "east", "west", "staging", "production")
_ROUTES = (("GET", "/orders"), ("GET", "/orders/{id}"), ("POST", "/orders"), ("GET", "/stock"))
_EVENTS = (
    ("console.signed_in", 46),
    ("token.refused", 15),
    ("credential.created", 10),
    ("credential.regenerated", 9),
    ("credential.edited", 6),
    ("session.ended", 6),
    ("user.role_granted", 4),
    ("user.role_revoked", 3),
    ("credential.disabled", 1),
)
"""What happens, and how often in a hundred times."""

_SETTINGS_EVERY = 20_000
"""Records between two changes of a setting."""

_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows."""

    credentials: int = 10_000
    sessions: int = 100_000
    audit: int = 1_000_000


@dataclass(frozen=True, slots=True)
class _Owner:
    id: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Credential:
    id: str
    owner: _Owner
    made_at: int
    used_at: int | None


def seed(url: str, sizes: Sizes) -> authserver_under_test.AuthserverUnderTest:
    """Migrate an empty database and fill it; the same rows every time."""
    now = int(time.time())
    made = authserver_under_test.seed(url, 0, at=now - _YEAR)
    accounts = made.store.accounts
    who: dict[str, Any] = {"actor": "bench", "now": now - _YEAR}
    for name in _ROLES:
        role_actions.create_role(accounts, name, "operational", (), **who)
    role_actions.create_role(accounts, "administrators", "builder", PERMISSIONS, **who)
    role_actions.create_role(accounts, "builders", "builder", (), **who)
    user_actions.create_user(accounts, ADMINISTRATOR, [*authserver_under_test.ROLES, "administrators"], **who)
    user_actions.create_user(accounts, BUILDER, [*authserver_under_test.ROLES, *_ROLES, "builders"], **who)
    with made.engine.connect().execution_options(write=True) as connection, connection.begin():
        _Dataset(connection, sizes, now).insert()
        _write_audit_chain(connection, sizes.audit, now, _audit_key(connection, made.master))
    if made.engine.dialect.name == "postgresql":
        # As autovacuum would by and by. SQLite has no such thing, and serves without statistics.
        with made.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("RESET statement_timeout")
    return made


class _Dataset:
    """Owners, their credentials, and what these did."""

    def __init__(self, connection: Connection, sizes: Sizes, now: int) -> None:
        self._connection, self._sizes, self._now = connection, sizes, now
        self._rng = random.Random(10)
        self._roles = {row.name: row.id for row in connection.execute(select(tables.roles))}
        self._servers = list(connection.execute(select(tables.resource_servers.c.id)).scalars())
        self._kid = connection.execute(select(func.max(tables.signing_keys.c.kid))).scalar_one()

    def insert(self) -> None:
        """Write all of it."""
        owners = self._owners()
        credentials = list(self._credentials(owners))
        self._bulk_insert(tables.credential_roles, self._choices(credentials))
        self._bulk_insert(tables.secrets, self._secrets(credentials))
        used = [each for each in credentials if each.used_at is not None]
        self._bulk_insert(
            tables.credential_use, ((each.id, each.used_at, each.used_at, "192.0.2.7", "client/1") for each in used)
        )
        self._bulk_insert(tables.token_requests, self._requests(used))
        self._bulk_insert(tables.usage, self._uses(used))
        self._bulk_insert(tables.sessions, self._sessions(used))

    def _owners(self) -> list[_Owner]:
        users, held = [], []
        made: list[_Owner] = []
        for number in range(max(1, self._sizes.credentials // _CREDENTIALS_PER_OWNER)):
            # Everybody may read reports, so that deleting this role touches everybody.
            roles = ("reports.read", *self._rng.sample(_ROLES, 4))
            owner = _Owner(f"u-{number:06d}", f"owner{number:05d}@example.com", roles)
            gone = self._now - self._rng.randrange(_YEAR) if self._rng.random() < 0.01 else None
            users.append((owner.id, owner.name, owner.name, None, None, 1, gone, self._now - _YEAR))
            held += [(owner.id, self._roles[name], self._now - _YEAR) for name in (*roles, "builders")]
            made.append(owner)
        self._bulk_insert(tables.users, users)
        self._bulk_insert(tables.user_roles, held)
        return made

    def _credentials(self, owners: Sequence[_Owner]) -> Iterator[_Credential]:
        mine = select(tables.users.c.id).where(tables.users.c.username == BUILDER)
        full = _Owner(self._connection.execute(mine).scalar_one(), BUILDER, _ROLES)
        rows, rng, now = [], self._rng, self._now
        found = []
        for number in range(self._sizes.credentials):
            owner = full if number < ALLOWED else rng.choice(owners)
            fate = rng.random()
            made_at = now - rng.randrange(_DAY, _YEAR)
            # Of a hundred, 5 have expired, 5 will soon, 3 are disabled.
            expires_at = now + (-fate * 20 * 30 * _DAY if fate < 0.05 else (fate * 100 - 4) * 5 * _DAY)
            disabled = now - _HOUR if 0.5 < fate < 0.53 and owner is not full else None
            used_at = now - rng.randrange(_HOUR * 24 * 60) if rng.random() < 0.8 else None
            name = f"{rng.choice(_SYSTEMS)} {rng.choice(_PLACES)} {number}"
            each = _Credential(f"{rng.getrandbits(32):08x}-0000-4000-8000-{number:012d}", owner, made_at, used_at)
            rows.append((each.id, owner.id, name, int(expires_at), made_at, disabled, None, 1, None))
            found.append(each)
        self._bulk_insert(tables.credentials, rows)
        return iter(found)

    def _choices(self, credentials: Iterable[_Credential]) -> Iterator[Sequence[Any]]:
        for each in credentials:
            # Two in a hundred have chosen a role that their owner has lost since.
            lost = [name for name in _ROLES if name not in each.owner.roles]
            second = self._rng.choice(lost if lost and self._rng.random() < 0.02 else each.owner.roles[1:])
            for name in ("reports.read", second):
                yield (each.id, self._roles[name])

    def _secrets(self, credentials: Iterable[_Credential]) -> Iterator[Sequence[Any]]:
        now = self._now
        for each in credentials:
            yield (
                f"s-{each.id}",
                each.id,
                b"h" * 32,
                "acs_abcd",
                each.made_at,
                None,
                each.used_at,
                "192.0.2.7",
                "c",
                None,
                None,
            )
            if self._rng.random() < 0.2:
                ends_at = now + (_HOUR if self._rng.random() < 0.1 else -_DAY)
                yield (f"o-{each.id}", each.id, b"h" * 32, "acs_abcd", each.made_at, ends_at, *5 * (None,))

    def _requests(self, used: Iterable[_Credential]) -> Iterator[Sequence[Any]]:
        today = self._now - self._now % _DAY
        for each in used:
            for day in range(30):
                yield (each.id, today - day * _DAY, "granted", 1 + self._rng.randrange(50))
                if self._rng.random() < 0.1:
                    yield (each.id, today - day * _DAY, "wrong_secret", 1 + self._rng.randrange(5))

    def _uses(self, used: Iterable[_Credential]) -> Iterator[Sequence[Any]]:
        today = self._now - self._now % _DAY
        for each in used:
            for day in range(30):
                at = today - day * _DAY
                for method, route in self._rng.sample(_ROUTES, 2):
                    yield (at, each.id, f"s-{each.id}", self._servers[0], method, route, 40, at)

    def _sessions(self, used: Sequence[_Credential]) -> Iterator[Sequence[Any]]:
        # Of twelve, one lives and two were left idle before their end; the others are over, and kept for a month.
        for number in range(self._sizes.sessions if used else 0):
            each = self._rng.choice(used)
            kind = number % 12
            ago = (0, _HOUR) if kind == 0 else (_HOUR, 12 * _HOUR) if kind < 3 else (_DAY, 30 * _DAY)
            issued = self._now - self._rng.randrange(*ago)
            seen = self._now - self._rng.randrange(300) if kind == 0 else issued + 600
            ended = (issued + _HOUR, "revoked") if kind > 7 else (None, None)
            yield (
                *(
                    f"{self._rng.getrandbits(96):024x}",
                    each.id,
                    f"s-{each.id}",
                    self._kid,
                    authserver_under_test.ES256,
                ),
                *("reports.read", 1, 1, 1, issued, issued + 12 * _HOUR, max(seen, issued), *ended),
                *("192.0.2.7", "192.0.2.8", None),
            )

    def _bulk_insert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        _bulk_insert(self._connection, table, rows)


def _audit_key(connection: Connection, master: str) -> bytes:
    sealed = select(tables.vault.c.sealed).where(tables.vault.c.purpose == "audit")
    return MasterKey(master).open("vault:audit", bytes(connection.execute(sealed).scalar_one()))


def _write_audit_chain(connection: Connection, count: int, now: int, key: bytes) -> None:
    """Continue the chain with a year of records, the last one a minute ago, and seal its head."""
    ids = list(connection.execute(select(tables.credentials.c.client_id)).scalars())
    names = list(connection.execute(select(tables.users.c.username)).scalars())
    head = connection.execute(select(tables.audit_head)).one()
    rng = random.Random(11)
    weighted_events = [name for name, weight in _EVENTS for _ in range(weight)]
    first = int(head.seq) + 1
    previous = head.hash

    def records() -> Iterator[Sequence[Any]]:
        nonlocal previous
        for number in range(count):
            actor, event = rng.choice(names), rng.choice(weighted_events)
            target = actor if event.startswith(("console.", "user.")) else rng.choice(ids)
            detail: dict[str, object] = {"name": "nightly export", "roles": ["reports.read"], "expires_at": now}
            if event.startswith("user."):
                detail = {"role": "reports.read"}
            elif event == "credential.edited":
                detail = {"before": {"name": "nightly"}, "after": {"name": "nightly export"}}
            elif event == "credential.regenerated":
                detail = {"overlap_seconds": 86400}
            if number % _SETTINGS_EVERY == 0:
                event, target, detail = "settings.changed", "idle_timeout_minutes", {"before": 60, "after": 30}
            values = {
                "seq": first + number,
                "at": now - _YEAR + _HOUR + (_YEAR - _HOUR - 60) * number // count,
                "actor": f"console:{actor}",
                "event": event,
                "target": target,
                "detail": canonical(detail),
            }
            sealed = seal(key, **values, previous=previous)
            yield (*values.values(), previous, sealed)
            previous = sealed

    _bulk_insert(connection, tables.audit, records())
    last = first + count - 1
    connection.execute(update(tables.audit_head).values(seq=last, hash=previous, seal=seal_head(key, last, previous)))


def _bulk_insert(connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
    """Insert many rows by the quickest way the database has; columns behind those that a row gives are NULL."""
    cursor: Any = connection.connection.cursor()
    width = len(table.columns)
    waiting = ((*row, *(None,) * (width - len(row))) for row in rows)
    columns = ", ".join(column.name for column in table.columns)
    statement = str(insert(table).compile(dialect=connection.dialect))
    while part := list(islice(waiting, _BATCH_ROWS)):
        if connection.dialect.name != "postgresql":
            cursor.executemany(statement, part)
            continue
        with cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for row in part:
                copy.write_row(row)


__all__ = ["ADMINISTRATOR", "BUILDER", "Sizes", "seed"]
