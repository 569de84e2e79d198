"""The real server for these tests, as a process behind HTTP; the one file here that knows how it is started.

It is administered by its command line, as an operator would.
"""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.support import databases, servers
from tests.support.processes import ROOT

MASTER_KEY = "A" * 43
AUDIENCE = "https://api.example.com"
OTHER_AUDIENCE = "https://other.example.com"
COMMAND_SECONDS = 60


@dataclass(frozen=True, repr=False)
class Real:
    """A running server with an owner "ada" (reader, writer), one credential and two APIs."""

    server: servers.Server
    api: tuple[str, str]
    client: tuple[str, str]

    @property
    def issuer(self):
        return self.server.url

    def flask(self, *words):
        """Run a command of the server; its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", *words, "--json"],
            cwd=ROOT,
            env=self.server.environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    def token(self, **form):
        asked = {"grant_type": "client_credentials", "resource": AUDIENCE, **form}
        status, told = self.server.post("/oauth/token", asked, self.client)
        assert status == 200, told
        return told["access_token"]

    def revoke(self, token):
        status, told = self.server.post("/oauth/revoke", {"token": token}, self.client)
        assert status == 200, told


@contextlib.contextmanager
def started(folder):
    """Start a server over a fresh database and fill it."""
    url = databases.fresh_sqlite_url(folder)
    port = servers.free_port()
    own = {
        "AUTHSERVER_ISSUER": f"http://127.0.0.1:{port}",
        "AUTHSERVER_DEMO": "0",
        "PATH": os.environ["PATH"],
    }
    with servers.start(url, MASTER_KEY, port=port, env=own) as server:
        real = Real(server, ("", ""), ("", ""))
        for name in ("reader", "writer"):
            real.flask("roles", "create", name, "--kind", "operational")
        real.flask("users", "create", "ada", "--role", "reader", "--role", "writer")
        api = real.flask("resource-servers", "create", "api", "--audience", AUDIENCE)
        real.flask("resource-servers", "create", "other", "--audience", OTHER_AUDIENCE)
        words = ["--owner", "ada", "--name", "bot", "--expires-in", "90d", "--role", "reader", "--role", "writer"]
        made = real.flask("credentials", "create", *words)
        yield Real(server, (api["client_id"], api["client_secret"]), (made["client_id"], made["client_secret"]))
