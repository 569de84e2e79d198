"""``make faults``: run the tests of faults, print what each showed, and write it into ``docs/reliability.md``.

A row is a fault of the matrix with the tests that inject it. Violations are tests that failed. How long the service
may be away is what the tests allow; how long it was is what they measured, by the property ``recovery``.
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
STORE = "tests/store/conformance"


class Fault(NamedTuple):
    """One row: its numbers, what happens, the tests, which of them, and how long the service may be away."""

    number: str
    what: str
    tests: tuple[str, ...]
    only: str
    allowed: str


NODES, DATABASES = "tests/faults/inject_nodes.py", "tests/faults/inject_databases.py"
FAULTS = (
    Fault("F-01, F-02", "`kill -9` of workers and nodes under load", ("tests/faults/test_crash.py",), "", "start"),
    Fault("F-04", "disk full, on a small tmpfs under load", ("tests/faults/test_full_disk.py",), "", "3 s"),
    Fault("F-05", "a disk that fails each fsync (`strace`)", (NODES,), "F_05", "10 s"),
    Fault("F-06", "locks held, statements that hang", (STORE,), "takes_too_long", "5 s"),
    Fault("F-07", "log or file of SQLite damaged, cut short or gone", (DATABASES,), "F_07", "start, or refused"),
    Fault("F-08", "an SQLite with the WAL-reset fault", ("tests/store/test_sqlite_library.py",), "", "none"),
    Fault("F-10", "PostgreSQL restarted, fast and at once, under load", (DATABASES,), "F_10", "10 s"),
    Fault("F-11, F-12", "connections broken, an answer to a commit lost", (STORE,), "is_lost or is_replaced", "none"),
    Fault("F-13, F-26", "network to the database silent, or cut", (DATABASES,), "F_13", "20 s"),
    Fault("F-14", "primary killed, synchronous standby promoted", ("tests/store/test_failover.py",), "", "10 s"),
    Fault("F-15", "primary killed, a standby promoted that had lagged", (DATABASES,), "F_15", "20 s"),
    Fault("F-16", "an old backup restored", ("tests/store/test_restore.py",), "", "start"),
    Fault("F-17", "given a standby that only reads", ("tests/store/test_failures.py",), "standby", "refused"),
    Fault("F-18", "PgBouncer by transaction", ("tests/store/test_pooler.py",), "", "none"),
    Fault("F-19", "ten times as many clients as threads", (NODES,), "F_19", "5 s"),
    Fault("F-23", "a clock that steps back", (STORE, "tests/rules"), "clock or future", "none"),
    Fault("F-25", "the database's name not resolved", ("tests/store/test_failures.py",), "resolve", "none"),
    Fault("F-26", "resource servers cut off", ("tests/resource_server/test_partition.py",), "", "none"),
    Fault("F-27", "a node paused, 1 and 12 s", (NODES,), "F_27", "10 s"),
    Fault("F-28", "two versions, forward and back", ("tests/store/test_schema_window.py",), "", "none"),
    Fault("F-29", "a migration killed midway", (DATABASES,), "F_29", "start"),
    Fault("F-30", "eight nodes start at once", ("tests/store/test_migrations.py",), "eight", "none"),
    Fault("F-31", "no file descriptor left", (NODES,), "F_31", "10 s"),
    Fault("F-32", "nobody reads the log", (NODES,), "F_32", "none"),
    Fault("F-33", "identity provider down, slow, hostile", ("tests/console/test_single_sign_on.py",), "", "none"),
    Fault("F-34", "a node stops while a token is in use", ("tests/faults/test_idle_nodes.py",), "", "none"),
)


class Result(NamedTuple):
    """What one row came to."""

    ran: int
    failed: int
    skipped: int
    seconds: float
    recovery: float | None
    """The longest that a test measured, in seconds; None where nothing is away, or nobody measured."""


def run(fault: Fault) -> Result:
    """Run the tests of a row in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        # The older form of the report, in which tests may tell properties.
        options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *fault.tests]
        subprocess.run([*command, *(("-k", fault.only) if fault.only else ())], cwd=ROOT, check=False, timeout=3600)
        seconds = time.monotonic() - began
        root = ET.parse(report).getroot()  # noqa: S314 - written by our own pytest
        suite = root.find("testsuite")
        assert suite is not None
        counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
        measured = [float(each.get("value", "0")) for each in root.iter("property") if each.get("name") == "recovery"]
    failed = counts["failures"] + counts["errors"]
    recovery = max(measured) if measured else None
    return Result(counts["tests"] - counts["skipped"], failed, counts["skipped"], seconds, recovery)


def table(results: dict[str, Result]) -> str:
    """The rows as Markdown."""
    lines = [
        "| fault | what happens | tests run | violations | back within | back after | took |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        found = results[fault.what]
        ran = f"{found.ran}" + (f" ({found.skipped} not run)" if found.skipped else "")
        after = "" if found.recovery is None else f"{found.recovery:.1f} s"
        cells = (fault.number, fault.what, ran, found.failed, fault.allowed, after, f"{found.seconds:.0f} s")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run all rows; ``--short`` kills a few times instead of many. The exit code is 1 after any violation."""
    os.environ.setdefault("CRASH_RUNS", "6" if "--short" in sys.argv else "1000")
    results = {}
    for count, fault in enumerate(FAULTS, 1):
        print(f"{count} of {len(FAULTS)}: {fault.number}, {fault.what}", flush=True)  # noqa: T201 - progress
        results[fault.what] = run(fault)
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
