"""Real server processes for the tests: started as an operator would, killed as a machine would."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.support.processes import ROOT, Fork, serve
from tests.support.wsgi_client import basic

READY_SECONDS = 60


@functools.cache
def _state():
    """Where the servers of this test process remember how new their databases were."""
    folder = tempfile.mkdtemp(prefix="authserver-state-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(url):
    """Whether the server at ``url`` can serve."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()  # a 503; left to the garbage collector, its socket would fail whatever test runs then
        return False
    except OSError:
        return False


class Server:
    """``python app.py`` (or another program) on a port of its own, in a process group of its own."""

    def __init__(self, database_url, master_key, *, port=None, workers=1, env=None, program=("app.py",)):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log", delete=False)  # noqa: SIM115 - closed in close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSERVER_")}
        self.environ = {
            **kept,
            "AUTHSERVER_DATABASE_URL": database_url,
            "AUTHSERVER_MASTER_KEY": master_key,
            "AUTHSERVER_BIND": f"127.0.0.1:{self.port}",
            "AUTHSERVER_ISSUER": "http://127.0.0.1:8000",
            "AUTHSERVER_WORKERS": str(workers),
            "AUTHSERVER_STATE_DIRECTORY": _state(),
            **(env or {}),
        }
        self.environ = {name: value for name, value in self.environ.items() if value is not None}
        self.process = self._start(program)

    def _start(self, program):
        # Another path means other modules than those that were imported before the fork.
        if program == ("app.py",) and self.environ.get("PYTHONPATH") == os.environ.get("PYTHONPATH"):
            return Fork(serve, environ=self.environ, stdout=self._log.name, stderr=self._log.name)
        return subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready(self):
        """Wait until it can serve."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                msg = f"the server ended with {self.process.returncode}: {self.log()}"
                raise AssertionError(msg)
            if is_ready(self.url):
                return self
            time.sleep(0.02)
        msg = f"the server is not ready: {self.log()}"
        raise AssertionError(msg)

    def get(self, path, **headers):
        """Status and body of a GET."""
        return self._ask(path, None, headers)

    def post(self, path, form, who):
        """Status and JSON of the answer to a form, sent with HTTP Basic."""
        status, body = self._ask(path, urllib.parse.urlencode(form).encode(), {"Authorization": basic(*who)})
        return status, json.loads(body or b"{}")

    def _ask(self, path, body, headers):
        asked = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def log(self):
        return Path(self._log.name).read_text(encoding="utf-8")

    def kill9(self):
        """Kill the whole process group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self):
        """Ask it to end, and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill9()
        return self.process.returncode

    def close(self):
        """End it, whatever state it is in, and remove its log."""
        self.stop()
        self.kill9()
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start(database_url, master_key, **options):
    """Start a server and wait until it is ready."""
    server = Server(database_url, master_key, **options)
    try:
        return server.ready()
    except BaseException:
        server.close()
        raise
