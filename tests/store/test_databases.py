"""The helper keeps its own promises."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from tests.support import databases

ROOT = Path(__file__).resolve().parents[2]


def scalar(engine: Engine, statement: str) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(statement))


@pytest.fixture
def engine():
    url = databases.fresh_postgres_url()
    engine = create_engine(url)
    yield engine
    engine.dispose()
    databases.drop(url)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("server_version_num", "18"), ("fsync", "on"), ("synchronous_commit", "on"), ("listen_addresses", "")],
)
def test_settings(engine, setting, value):
    assert str(scalar(engine, f"SHOW {setting}"))[:2] == value


def test_fresh_means_empty_and_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (n integer)"))
    other = databases.fresh_postgres_url()
    with psycopg.connect(other.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    databases.drop(other)


def test_dropped_is_gone_even_when_in_use():
    url = databases.fresh_postgres_url()
    engine = create_engine(url)
    connection = engine.connect()
    databases.drop(url)
    connection.invalidate()
    with pytest.raises(OperationalError, match="does not exist"):
        engine.connect()
    connection.close()
    engine.dispose()


def test_only_its_own_databases_are_dropped(engine):
    with pytest.raises(ValueError, match="not a database made by"):
        databases.drop(str(engine.url.set(database="postgres")))


def test_a_template_is_filled_once_and_copied():
    fills = []

    def fill(url):
        fills.append(url)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE seed AS SELECT 7 AS n")

    name = f"seeded_{os.getpid()}"
    for _ in range(2):
        url = databases.fresh_postgres_url(databases.postgres_template(name, fill))
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT n FROM seed").fetchone() == (7,)
        databases.drop(url)
    assert len(fills) == 1


def test_sqlite(tmp_path):
    first, second = databases.fresh_sqlite_url(tmp_path), databases.fresh_sqlite_url(tmp_path)
    assert first != second
    engine = create_engine(first)
    assert scalar(engine, "SELECT 1") == 1
    engine.dispose()


@pytest.mark.parametrize("ending", ["sys.exit()", "os.kill(os.getpid(), 9)"])
def test_the_server_goes_however_its_session_ends(ending):
    script = f"""
        import os, sys
        from tests.support import databases
        databases.fresh_postgres_url()
        print(os.environ[databases.HOME_VARIABLE], flush=True)
        {ending}
    """
    environment = {name: value for name, value in os.environ.items() if name != databases.HOME_VARIABLE}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    home = Path(run.stdout.strip())
    assert home.is_absolute(), run.stderr
    deadline = time.monotonic() + 30
    while home.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.exists()
