"""Which SQLite library is used, in which journal mode; and the server on the interpreter's own library."""

import subprocess
import sys

import pytest

from authserver.store.engine.sqlite_library import FLOOR, WAL_FLOOR, journal_cost, journal_mode, version_fault
from tests.support.processes import ROOT

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
