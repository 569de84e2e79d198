"""``make faults``: run the tests of faults, print what each showed, and write it into ``docs/reliability.md``.

A row is a fault of the matrix with the tests that inject it. Violations are tests that failed; the recovery is the time
that the tests of the row allow.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- end -->"
STORE = "tests/store/test_store.py"


class Fault(NamedTuple):
    """One row: its numbers, what happens, the tests, and how long the service may be away."""

    number: str
    what: str
    tests: tuple[str, ...]
    only: str
    recovery: str


FAULTS = (
    Fault("F-01, F-02", "`kill -9` of workers and nodes under load", ("tests/faults/test_crash.py",), "", "start"),
    Fault("F-04", "disk full, on a small tmpfs under load", ("tests/faults/test_full_disk.py",), "", "3 s"),
    Fault("F-06, F-13", "locks held, statements that hang", (STORE,), "takes_too_long", "5 s"),
    Fault("F-11, F-12", "connections broken, an answer to a commit lost", (STORE,), "is_lost or is_replaced", "none"),
    Fault("F-14", "primary killed, synchronous standby promoted", ("tests/store/test_failover.py",), "", "10 s"),
    Fault("F-16", "an old backup restored", ("tests/store/test_restore.py",), "", "start"),
    Fault("F-18", "PgBouncer by transaction", ("tests/store/test_pooler.py",), "", "none"),
    Fault("F-23", "a clock that steps back", (STORE, "tests/rules/test_rules.py"), "clock or future", "none"),
    Fault("F-28", "two versions, forward and back", ("tests/store/test_schema_window.py",), "", "none"),
    Fault("F-30", "eight nodes start at once", ("tests/store/test_migrations.py",), "eight", "none"),
    Fault("F-34", "a node stops while a token is in use", ("tests/faults/test_idle_nodes.py",), "", "none"),
)


class Result(NamedTuple):
    """What one row came to."""

    ran: int
    failed: int
    skipped: int
    seconds: float


def run(fault: Fault) -> Result:
    """Run the tests of a row in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *fault.tests]
        subprocess.run([*command, *(("-k", fault.only) if fault.only else ())], cwd=ROOT, check=False, timeout=3600)
        seconds = time.monotonic() - began
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - written by our own pytest
        assert suite is not None
        counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    return Result(counts["tests"] - counts["skipped"], failed, counts["skipped"], seconds)


def table(results: dict[str, Result]) -> str:
    """The rows as Markdown."""
    lines = ["| fault | what happens | tests run | violations | back within | took |", "|---|---|---|---|---|---|"]
    for fault in FAULTS:
        found = results[fault.number]
        ran = f"{found.ran}" + (f" ({found.skipped} not run)" if found.skipped else "")
        lines.append(
            f"| {fault.number} | {fault.what} | {ran} | {found.failed} | {fault.recovery} | {found.seconds:.0f} s |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run all rows; ``--short`` kills a few times instead of many. The exit code is 1 after any violation."""
    os.environ.setdefault("CRASH_RUNS", "6" if "--short" in sys.argv else "1000")
    results = {fault.number: run(fault) for fault in FAULTS}
    text = table(results)
    print(text)  # noqa: T201 - what the command is for
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    empty = [number for number, found in results.items() if not found.ran]
    for number in empty:
        print(f"{number}: no test ran")  # noqa: T201 - what the command is for
    return int(bool(empty) or any(found.failed for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
