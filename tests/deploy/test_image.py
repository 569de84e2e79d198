"""The container image: built by its own Dockerfile's steps in a chroot, run as an engine would run it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.deploy import image, recipe
from tests.support.processes import ROOT
from tests.support.servers import free_port, is_ready

UNSHARE = ("unshare", "--mount", "--propagation", "private")
READY_SECONDS = 60
STOP_SECONDS = 30


def last():
    return recipe.stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1]


# --- read as it stands ------------------------------------------------------------------------


def test_the_linter_of_dockerfiles_is_content():
    linter = Path(sys.executable).with_name("hadolint")
    result = subprocess.run(
        [linter, "--failure-threshold", "style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_the_result_runs_as_a_fixed_account_with_a_healthcheck_and_gets_the_signals_itself():
    stage = last()
    assert stage.last("USER") == f"{image.UID}:{image.UID}"
    assert stage.healthcheck() == ["python", "-I", "/app/healthcheck.py"]
    assert stage.command() == ["python", "app.py"]  # no shell in between, which would keep SIGTERM to itself
    assert stage.environ()["AUTHSERVER_DEMO"] == "0"
    assert stage.last("VOLUME") == "/var/lib/authserver"


def test_only_locked_wheels_are_installed_and_nothing_is_fetched_into_the_result():
    found = recipe.stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    installs = [text for stage in found for word, text in stage.steps if word == "RUN" and "pip" in text]
    assert len(installs) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in installs[0]
    assert not any(re.search("pip|apt|curl|gcc", text) for word, text in found[-1].steps if word == "RUN")
    assert len({stage.base for stage in found}) == 1  # the virtual environment finds the interpreter it was made by


def test_the_interpreter_is_one_that_the_project_supports():
    given = re.search(r"python:(3\.\d+)-slim", last().base)[1]
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert [int(each) for each in given.split(".")] >= [int(each) for each in needed.removeprefix(">=").split(".")]


def test_no_secret_and_no_data_get_into_the_build_context(tmp_path):
    wanted = {"app.py", "requirements.txt", "authserver/web/static.css", "keys/master.py", "migrations/env.py"}
    never = {
        *(
            "instance/master.key",
            "instance/authserver.db",
            ".env",
            ".git/config",
            "authserver/leak.key",
            "keys/old.pem",
        ),
        *("authserver/__pycache__/a.pyc", "deploy/helm/authserver/values.yaml", "tests/test_keys.py", "keys.tar"),
    }
    for name in wanted | never:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert {str(path) for path in recipe.context(tmp_path, ignore)} == wanted


# --- the healthcheck by itself ---------------------------------------------------------------


def check_health(**environ):
    return subprocess.run(
        [sys.executable, "-I", ROOT / "deploy" / "container" / "healthcheck.py"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("bind", ["0.0.0.0:{}", "127.0.0.1:{}", "[::]:{}", "localhost:{}"])
def test_the_healthcheck_says_when_nobody_answers(bind):
    result = check_health(AUTHSERVER_BIND=bind.format(free_port()))
    assert result.returncode == 1
    assert result.stdout.startswith("/livez does not answer: ")
    assert result.stderr == ""


def test_the_healthcheck_of_a_setting_that_cannot_be_is_one_line(tmp_path):
    result = check_health(AUTHSERVER_BIND_FILE=str(tmp_path / "absent"))
    assert result.returncode == 1
    assert (len(result.stdout.splitlines()), result.stderr) == (1, "")


# --- built and run ---------------------------------------------------------------------------


def lacking():
    """What keeps this machine from building in a chroot."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        return "it takes Linux, root and util-linux to build and run it in a chroot"
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", ("mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
         "mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )  # fmt: skip
    return "this machine does not let root mount an overlay" if tried.returncode else ""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The built image, by every step of the Dockerfile over this machine's root file system."""
    fault = lacking()
    if fault:
        pytest.skip(f"The container image was not tested: {fault}")
    folder = tmp_path_factory.mktemp("image")
    built = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.deploy.image", "build", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Container:
    """One run of the image: its own mounts and processes, its root read-only."""

    def __init__(self, tree, volume, *words):
        volume.mkdir(mode=0o700)
        os.chown(volume, image.UID, image.UID)
        self.log = volume.with_suffix(".log")
        self._out = self.log.open("wb")
        self._outer = subprocess.Popen(
            [
                *UNSHARE,
                "--pid",
                "--fork",
                "--kill-child",
                sys.executable,
                "-m",
                "tests.deploy.image",
                "run",
                str(tree),
                str(volume),
                "--",
                *words,
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )

    def first(self):
        """The container's PID 1, as this machine numbers it."""
        told = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text(encoding="ascii").split()
        assert len(told) == 1, self.log.read_text()
        return int(told[0])

    def ready(self, url):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            assert self._outer.poll() is None, self.log.read_text()
            if is_ready(url):
                return
            time.sleep(0.05)
        pytest.fail(f"the container is not ready: {self.log.read_text()}")

    def run(self, *words):
        """What ``docker exec`` does."""
        account = ("-S", str(image.UID), "-G", str(image.UID))
        inside = ("nsenter", "-t", str(self.first()), "-m", "-p", "-r", "-w", *account)
        return subprocess.run([*inside, *words], capture_output=True, text=True, check=False, timeout=60)

    def stop(self):
        os.kill(self.first(), signal.SIGTERM)
        return self._outer.wait(STOP_SECONDS)

    def wait(self):
        return self._outer.wait(READY_SECONDS)

    def close(self):
        self._outer.kill()
        self._outer.wait(STOP_SECONDS)
        self._out.close()


@contextlib.contextmanager
def running(tree, volume, *words):
    container = Container(tree, volume, *words)
    try:
        yield container
    finally:
        container.close()


def test_it_serves_as_pid_1_without_rights_on_a_read_only_root_and_ends_on_sigterm(tree, tmp_path):
    port = free_port()
    bind = f"AUTHSERVER_BIND=0.0.0.0:{port}"
    issuer = "AUTHSERVER_ISSUER=https://auth.example.com"
    with running(tree, tmp_path / "volume", bind, issuer, "AUTHSERVER_WORKERS=2") as container:
        container.ready(f"http://127.0.0.1:{port}")

        status = Path(f"/proc/{container.first()}/status").read_text(encoding="ascii")
        assert re.search(rf"^Uid:(\s{image.UID}){{4}}$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\s0+$", status, re.MULTILINE)
        assert re.search(r"^NSpid:\s\d+\s1$", status, re.MULTILINE)

        environ = [f"{name}={value}" for name, value in last().environ().items()]
        healthy = container.run("env", "-i", *environ, bind, *last().healthcheck())
        assert (healthy.returncode, healthy.stdout) == (0, "/livez answers 200\n")

        for path in ("/app", "/opt/venv", "/etc", "/var/lib"):
            assert "Read-only file system" in container.run("touch", f"{path}/x").stderr
        assert container.run("touch", "/tmp/x", "/var/lib/authserver/x").returncode == 0  # noqa: S108 - the container's

        made = container.run(
            *("env", "-i", *environ, bind, issuer),
            *("flask", "roles", "create", "orders.read", "--kind", "operational", "--json"),
        )
        assert made.returncode == 0, made.stderr
        assert container.stop() == 0
        assert "Traceback" not in container.log.read_text()


def test_what_it_wrote_is_on_the_volume_and_belongs_to_it(tree, tmp_path):
    port = free_port()
    words = (f"AUTHSERVER_BIND=127.0.0.1:{port}", "flask", "db", "upgrade")
    with running(tree, tmp_path / "volume", *words) as container:
        assert container.wait() == 0, container.log.read_text()
    names = {path.name: path.stat() for path in (tmp_path / "volume").iterdir()}
    assert "authserver.db" in names
    assert {each.st_uid for each in names.values()} == {image.UID}


def test_without_an_issuer_it_says_in_one_sentence_what_it_needs(tree, tmp_path):
    with running(tree, tmp_path / "volume") as container:
        assert container.wait() == 1
        told = container.log.read_text()
    reason = "AUTHSERVER_ISSUER is needed when AUTHSERVER_BIND is not on loopback; give the https URL clients use"
    assert told == f"Cannot start: {reason}\n"


def test_what_is_in_it_is_compiled_cannot_be_changed_and_holds_no_compiler_or_pip(tree):
    upper = tree / (tree / "last").read_text(encoding="ascii")
    everything = [path for path in upper.rglob("*") if not path.is_symlink()]
    added = [path for path in everything if path.is_relative_to(upper / "app") or path.is_relative_to(upper / "opt")]
    assert not [path for path in added if path.stat().st_mode & 0o022 or path.stat().st_uid != 0]
    assert not [path for path in added if path.is_file() and not path.stat().st_mode & 0o004]
    assert not [path for path in everything if path.is_file() and path.stat().st_mode & 0o6000]
    names = {path.name for path in added}
    assert not names & {"pip", "gcc", "cc", "cc1", "ld", "curl", "requirements.txt"}
    sources = [path for path in (upper / "app").rglob("*.py") if path.name != "__init__.py"]
    assert sources
    compiled = {path.name.partition(".")[0] for path in (upper / "app").rglob("*.pyc")}
    assert {path.stem for path in sources} <= compiled


def test_where_it_cannot_be_built_the_end_of_the_run_says_so(tmp_path):
    from tests.support.clients_js_plugin import run_without

    result = run_without(tmp_path, "tests/deploy/test_image.py", "compiled")
    assert "The container image was not tested: it takes Linux, root and util-linux" in result.stdout
    assert "LEFT OUT" in result.stdout
