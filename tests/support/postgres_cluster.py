"""PostgreSQL servers of a test's own on TCP: with passwords, limits and standbys, unlike the shared one."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support import databases
from tests.support.deadlines import wait_until

PASSWORD = "violet-otter"
HBA = """\
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """One server with user ``owner`` and database ``auth``; ``stop`` and ``start`` as often as wanted.

    Args:
        settings: of postgresql.conf, by name.
        primary: a running cluster to be a streaming standby of.
    """

    def __init__(self, settings=None, primary=None):
        self.home = Path(tempfile.mkdtemp(prefix="cluster-"))
        self.home.chmod(0o711)
        self.port, self.settings, self.process = free_port(), settings or {}, None
        self.account = {}
        self.data = self.home / "data"
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("nobody")
            self.account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.data, entry.pw_uid, entry.pw_gid)
        self.programs = databases._programs(self.home, self.account)
        if primary is None:
            self._run("initdb", "--pgdata", self.data, "--username=postgres", "--auth=trust", "--no-sync")
            (self.data / "pg_hba.conf").write_text(HBA, encoding="ascii")
        else:
            where = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
            self._run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", *where)
        self.start()
        if primary is None:
            with self.admin() as admin:
                admin.execute(f"CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}'")
                admin.execute("CREATE DATABASE auth OWNER owner")

    def _run(self, program, *words):
        subprocess.run(
            [self.programs / program, *words], check=True, cwd="/", capture_output=True, timeout=120, **self.account
        )

    def start(self):
        given = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", **self.settings}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.data, *options],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.account,
        )
        wait_until(f"PostgreSQL on port {self.port}", self._answers)

    def _answers(self):
        assert self.process.poll() is None, "PostgreSQL ended"
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self):
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def promote(self):
        self._run("pg_ctl", "promote", "-D", self.data, "-w", "-t", "60")

    def url(self, user="owner", password=PASSWORD, database="auth", **query):
        extra = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}" + (f"?{extra}" if extra else "")

    def stop(self, number=signal.SIGINT):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
