"""Which SQLite library is used, in which journal mode; and the server on the interpreter's own library."""

import os
import sqlite3
import subprocess
import sys

import pytest

from authserver.store.engine.sqlite_library import FLOOR, WAL_FLOOR, journal_cost, journal_mode, version_fault
from keys.master import MasterKey
from tests.support.processes import ROOT
from tests.support.servers import free_port

PREPARE_WITHOUT_WHEEL = """
import sys
sys.modules["pysqlite3"] = None
import app
app.run = lambda *_, **__: None
sys.exit(app.main())
"""

WITHOUT_WHEEL = """
import sys
sys.modules["pysqlite3"] = None
import pytest
words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", "sqlite and not browser"]
sys.exit(pytest.main([*words, "tests/oauth/test_recorded_tokens.py"]))
"""


@pytest.mark.parametrize(
    ("version", "mode"),
    [((3, 38, 0), "truncate"), ((3, 51, 2), "truncate"), (WAL_FLOOR, "wal"), ((3, 53, 4), "wal")],
)
def test_wal_only_where_it_is_safe(version, mode):
    assert journal_mode(version) == mode
    assert bool(journal_cost(version)) is (mode != "wal")


def test_a_library_that_is_too_old_is_refused_in_one_sentence():
    assert version_fault(FLOOR) is None
    assert "PostgreSQL" in version_fault((3, 37, 2))


def test_tokens_live_and_die_on_the_interpreters_own_library():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WHEEL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "[100%]" in done.stdout


@pytest.mark.skipif(sqlite3.sqlite_version_info >= WAL_FLOOR, reason="the interpreter's own SQLite is safe with WAL")
def test_a_server_says_at_start_what_its_sqlite_costs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PREPARE_WITHOUT_WHEEL],
        cwd=ROOT,
        env={
            **os.environ,
            "AUTHSERVER_DATABASE_URL": f"sqlite:///{tmp_path / 'server.db'}",
            "AUTHSERVER_MASTER_KEY": MasterKey.fresh(),
            "AUTHSERVER_BIND": f"127.0.0.1:{free_port()}",
            "AUTHSERVER_STATE_DIRECTORY": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "slow_journal_mode" in done.stderr
    assert "pysqlite3" in done.stderr
