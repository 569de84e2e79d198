"""Opens stores for tests: the model, and migrated databases that are copied rather than migrated again."""

import atexit
import functools
import itertools
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import create_engine, event, select

from app import create_app
from authserver.config import Config
from authserver.rules.claims import SessionStart
from authserver.store import tables
from authserver.store.engine.connections import engine_options, prepare
from authserver.store.factory import open_store
from keys.master import MasterKey
from tests.conftest import FixedClock
from tests.support import databases
from tests.support.memory_store import ModelStore

MASTER_TEXT = "A" * 43
MASTER = MasterKey(MASTER_TEXT)
NOW = 1_800_000_000
DAY = 86400


def migrate(url):
    """Bring a database up to date as the server does."""
    app = create_app(Config(database_url=url, master_key=MASTER_TEXT, issuer="http://127.0.0.1:8000"))
    app.extensions["services"].migrate()
    with app.app_context():
        tables.db.engine.dispose()


@functools.cache
def _migrated_sqlite_file():
    folder = Path(tempfile.mkdtemp(prefix="authserver-schema-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(f"sqlite:///{folder / 'schema.db'}")
    return folder / "schema.db"


def migrated_url(kind, folder):
    """The URL of a database of its own that was migrated once and copied; ``folder`` is for the file of SQLite."""
    if kind == "sqlite":
        url = databases.fresh_sqlite_url(folder)
        shutil.copy(_migrated_sqlite_file(), url.removeprefix("sqlite:///"))
        return url
    return databases.fresh_postgres_url(databases.postgres_template("store_schema", migrate))


def engine_for(url):
    """An engine as the server makes it."""
    engine = create_engine(url, **engine_options(url))
    prepare(engine)
    return engine


class Database:
    """One database; every ``open`` is another node over it, with its own connections."""

    def __init__(self, url):
        self.url, self.clock = url, FixedClock(NOW)
        self.stores, self.engines = [], []

    @property
    def kind(self):
        return urlsplit(self.url).scheme.split("+")[0]

    def engine(self):
        engine = engine_for(self.url)
        self.engines.append(engine)
        return engine

    def open(self, *, background=False):
        store = open_store(self.engine(), MASTER, self.clock, background=background)
        self.stores.append(store)
        return store

    def execute(self, *statements):
        """Do something behind the server's back, durably."""
        with self.engine().connect().execution_options(write=True) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

    def scalar(self, statement):
        with self.engine().connect() as connection:
            return connection.exec_driver_sql(statement).scalar()

    def close(self):
        for store in self.stores:
            store.close()
        for engine in self.engines:
            engine.dispose()


class Model:
    """The same over dictionaries; all its nodes are one."""

    kind = "model"

    def __init__(self):
        self.clock = FixedClock(NOW)
        self.store = ModelStore(self.clock)

    def open(self, *, background=False):
        return self.store

    def close(self):
        pass


def kills(store):
    """Kind, subject and value of every kill, in the order a change feed reads; numbers without a gap."""
    if isinstance(store, ModelStore):
        return store.t.kills
    with store.engine.connect() as connection:
        rows = connection.execute(select(tables.kills).order_by(tables.kills.c.seq)).all()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return [(row.kind, row.subject, row.value) for row in rows]


def uses(store):
    """Uses by credential, method and route."""
    if isinstance(store, ModelStore):
        rows = [(key[1], key[4], key[5], count) for key, count in store.t.usage.items()]
    else:
        with store.engine.connect() as connection:
            rows = connection.execute(
                select(tables.usage.c.client_id, tables.usage.c.method, tables.usage.c.route, tables.usage.c.uses)
            ).all()
    found = {}
    for client_id, method, route, count in rows:
        found[client_id, method, route] = found.get((client_id, method, route), 0) + count
    return found


class Statements:
    """Counts the statements an engine is sent."""

    def __init__(self, engine):
        self.texts = []
        event.listen(engine, "before_cursor_execute", lambda _c, _cur, text, *_rest: self.texts.append(text))


_numbers = itertools.count()


def start(client_id="c1", jti=None, at=NOW, lasts=43200, **more):
    """A session to begin with."""
    facts = {"secret_id": "s1", "kid": "k1", "audience": "https://api.example.com", "roles": "reader writer"}
    facts |= {"role_version": 1, "credential_version": 1, "epoch": 1, **more}
    return SessionStart(
        jti=jti or f"jti-{next(_numbers)}", client_id=client_id, issued_at=at, expires_at=at + lasts, **facts
    )


_shared: dict[str, str] = {}


def fresh(kind, tmp_path: Path, *, own=False):
    """A migrated, empty database; on PostgreSQL one is emptied again and again, unless it shall be ``own``."""
    if kind == "model":
        return Model()
    if kind == "sqlite" or own:
        return Database(migrated_url(kind, tmp_path))
    if "url" not in _shared:
        _shared["url"] = migrated_url(kind, tmp_path)
    url = _shared["url"]
    emptied = Database(url)
    # TRUNCATE makes a new file for every table and index; tests leave few rows.  Triggers would forbid some of it.
    # How many sessions there are is an estimate of the planner, which only TRUNCATE sets back.
    deletes = (f"DELETE FROM {name}" for name in tables.metadata.tables)  # noqa: S608 - names of our own tables
    emptied.execute("; ".join(("SET LOCAL session_replication_role = replica", *deletes, "TRUNCATE sessions")))
    emptied.close()
    return Database(url)
