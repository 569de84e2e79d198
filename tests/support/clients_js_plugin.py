"""Node and its packages, for the tests that use JavaScript clients, and every other tool pip cannot install.

Where one is missing the tests that need it are skipped, and the end of the run says so loudly; where the
environment says ``CI`` they fail instead. Loaded as a plugin by ``conftest.py``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1] / "clients_js"
OLDEST = 20  # node:test and a global Web Crypto
LEFT_OUT = " not tested: "


@pytest.fixture(scope="session")
def node():
    """The path of Node, with the packages beside the scripts installed."""
    need("JavaScript clients were", missing())
    return shutil.which("node")


def need(what: str, fault: str) -> None:
    """Leave a test out for a fault of this machine; in CI, fail."""
    if fault and os.environ.get("CI"):
        pytest.fail(fault)
    if fault:
        pytest.skip(what + LEFT_OUT + fault)


def missing(home: Path = HOME) -> str:
    """What is missing and what mends it, or nothing."""
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        return f"Node is not installed; install Node {OLDEST} or newer with npm, then run `make clients`"
    version = subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True, timeout=300
    ).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        return f"Node {version} is too old; install Node {OLDEST} or newer, then run `make clients`"
    installed, wanted = home / "node_modules" / ".package-lock.json", home / "package-lock.json"
    if not installed.exists():
        return "their packages are not installed; run `make clients`"
    if installed.stat().st_mtime < wanted.stat().st_mtime:
        return "their packages are older than package-lock.json; run `make clients`"
    return ""


def pytest_terminal_summary(terminalreporter):
    """Say what was left out where nobody overlooks it."""
    left_out = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and LEFT_OUT in report.longrepr[2]
    ]
    for reason in sorted(set(left_out)):
        terminalreporter.section("LEFT OUT", sep="!", yellow=True, bold=True)
        terminalreporter.line(f"{reason}. Tests left out: {left_out.count(reason)}.", yellow=True)


def run_without(tools, file, chosen, **environ):
    """Run some tests of a file in a process of their own, whose PATH is the folder ``tools`` alone."""
    clean = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    words = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", file, "-k", chosen)
    return subprocess.run(
        [sys.executable, *words],
        cwd=Path(__file__).parents[2],
        env={**clean, "PATH": str(tools), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
