"""Behind a real PgBouncer: found out by itself, nothing relies on a session, and what cannot work says so at once."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app
from authserver.actions import users
from authserver.config import Config
from authserver.ports.errors import Unavailable
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.schema import MIGRATIONS
from authserver.store.tables import db
from tests.conftest import World
from tests.store.test_migrations import SEED, start
from tests.support import databases, pgbouncer
from tests.support.processes import ROOT
from tests.support.shell import MASTER_KEY

SUITE = "tests/store/conformance"


def through(address):
    """A fresh database, reached by the pooler at ``address``."""
    name = databases.fresh_postgres_url().partition("@/")[2].partition("?")[0]
    return f"postgresql://postgres@{address}/{name}"


@pytest.fixture(scope="module", params=["refuses", "drops"])
def pooler(request):
    """In transaction mode, with two server connections; either way it does with settings of a connection."""
    with pgbouncer.started("transaction", size=2, ignore="" if request.param == "refuses" else "options") as address:
        yield address


def facts(url):
    app = create_app(Config(database_url=url, master_key=MASTER_KEY, issuer="http://127.0.0.1:8000"), background=False)
    with app.app_context():
        values = {fact.name: fact for fact in Maintenance(db.engine, MIGRATIONS).facts()}
        db.engine.dispose()
    return values


def test_a_transaction_pooler_is_found_and_everything_works(pooler):
    url = through(pooler)
    world = World(url)
    try:

        def whole(_):
            token = world.access_token()
            return world.active(token), world.introspect(token).json["sub"]

        with ThreadPoolExecutor(8) as threads:
            first = set(threads.map(whole, range(80)))
            world.store.usage.flush()
            tokens = list(threads.map(lambda _: world.access_token(), range(20)))
            users.revoke(world.accounts, "ada", "writer", **world.who)
            assert not any(threads.map(world.active, tokens)), "INV-01"
            told = list(threads.map(whole, range(40)))
        assert len(first) == 1
        assert all(active for active, _ in told)
        assert world.accounts.audit_verify().first_bad is None
    finally:
        world.services.close()
    told = facts(url)
    assert told["pooler"].good
    assert told["limit of single statements"].value in {"none", "set"}


def test_INV_16_eight_migrate_at_once_and_find_one_schema(pooler):
    with start(through(pooler), "-c", SEED) as eight:
        out, err = eight.communicate(timeout=300)
    assert (eight.returncode, err) == (0, "")
    assert len(out.splitlines()) == 8
    assert len(set(out.splitlines())) == 1


def test_the_limits_hold_in_every_transaction_and_the_doctor_names_what_is_left(pooler):
    url = through(pooler)
    world = World(url)
    try:
        engine = world.store.engine
        with engine.begin() as connection:
            names = ("statement_timeout", "lock_timeout")
            limits = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
            user = connection.exec_driver_sql("SELECT current_user").scalar()
        assert limits == ["5s", "5s"]
        with pytest.raises(Exception, match="statement timeout"), engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = '50ms'")
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        name = url.rpartition("/")[2]
        assert (user, facts(url)["limit of single statements"].good) == ("postgres", False)
        assert "ALTER ROLE" in facts(url)["limit of single statements"].fix
        with databases._admin() as admin:
            admin.execute(f"ALTER DATABASE {name} SET statement_timeout = '5s'")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        assert facts(url)["limit of single statements"].good
    finally:
        world.services.close()


def test_a_session_pooler_and_no_pooler_keep_what_they_had():
    with pgbouncer.started("session") as address:
        world = World(through(address))
        try:
            assert world.active(world.access_token())
        finally:
            world.services.close()
    assert "pooler" not in facts(databases.fresh_postgres_url())


def test_a_pooler_of_statements_is_refused_in_one_sentence():
    with pgbouncer.started("statement", ignore="options") as address:
        config = Config(database_url=through(address), master_key=MASTER_KEY, issuer="http://127.0.0.1:8000")
        services = create_app(config, background=False).extensions["services"]
        with pytest.raises(Unavailable, match=r"pools statements.*set pool_mode = transaction or session") as caught:
            services.migrate()
        assert "\n" not in str(caught.value)
        services.close()


@pytest.mark.slow
def test_F_18_the_storage_conformance_suite_passes_behind_a_transaction_pooler():
    with pgbouncer.started("transaction", ignore="options", size=20) as address:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "postgresql", SUITE],
            cwd=ROOT,
            env={**os.environ, databases.POOLER_VARIABLE: address, "PYTEST_XDIST_WORKER": ""},
            check=False,
            capture_output=True,
            text=True,
            timeout=500,
        )
    assert run.returncode == 0, run.stdout[-5000:]
    assert "[100%]" in run.stdout
