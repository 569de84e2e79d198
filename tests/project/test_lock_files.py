"""The lock files install from wheels alone on every platform that is promised; nothing is installed here."""

import os
import shutil
import subprocess

import pytest

from tests.support.clients_js_plugin import need
from tests.support.processes import ROOT

PLATFORMS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
)


@pytest.fixture(scope="module")
def uv():
    found = shutil.which("uv", path=f"{ROOT / '.lock-venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    need("The lock file for other platforms was", "" if found else "`make uv` gets what tries it")
    return found


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-otel.txt"])
@pytest.mark.parametrize("version", ["3.11", "3.13"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_package_has_a_wheel_with_a_known_hash(uv, tmp_path, platform, version, lock):
    command = [uv, "pip", "install", "--dry-run", "--system-certs", "--only-binary", ":all:", "--require-hashes"]
    where = ["--python-platform", platform, "--python-version", version, "--target", str(tmp_path)]
    run = subprocess.run(
        [*command, *where, "-r", str(ROOT / lock)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr
    assert "werkzeug" in run.stderr
    assert ("opentelemetry-sdk" in run.stderr) is (lock == "requirements-otel.txt")
    assert ("pysqlite3" in run.stderr) is (platform in {PLATFORMS[0], PLATFORMS[2], PLATFORMS[4], PLATFORMS[6]})
