"""A real PgBouncer before the session's PostgreSQL."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support import databases
from tests.support.clients_js_plugin import need
from tests.support.deadlines import wait_until
from tests.support.postgres_cluster import free_port

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


@contextlib.contextmanager
def started(mode, *, ignore="", size=4, **settings):
    """The address of a pooler in that ``pool_mode``; ``ignore`` names what it drops of a connection's settings."""
    program = shutil.which("pgbouncer", path=_PATH)
    need("A pooler was", "" if program else "pgbouncer is not installed: apt install pgbouncer")
    home, port = Path(tempfile.mkdtemp(prefix="pgbouncer-")), free_port()
    account = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(home, entry.pw_uid, entry.pw_gid)
    given = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": size,
        "max_client_conn": 500,
        "ignore_startup_parameters": ", ".join(filter(None, ("extra_float_digits", ignore))),
        **settings,
    }
    lines = [f"* = host={databases.socket_folder()} user=postgres", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in given.items()]
    (home / "pgbouncer.ini").write_text("\n".join(["[databases]", *lines, ""]), encoding="ascii")
    log = home / "log"
    with log.open("wb") as out:
        command = [program, str(home / "pgbouncer.ini")]
        process = subprocess.Popen(command, cwd="/", stdout=out, stderr=out, **account)

    def answers():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", prepare_threshold=None).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until("PgBouncer", answers)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        shutil.rmtree(home, ignore_errors=True)
