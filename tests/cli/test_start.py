"""Starting the server: what is said before it serves, and how it ends when it cannot."""

import os
import subprocess
import sys

import pytest

from keys.master import MasterKey
from tests.support.deadlines import wait_until
from tests.support.processes import ROOT
from tests.support.servers import Server, free_port

# The workers fail where the starting process does not: they are the ones that serve.
FAILING_WORKERS = """
import sys, app
from authserver.ports.errors import Unavailable
from authserver.services.container import Services

def wsgi(self):
    raise Unavailable("the pooler forgets prepared statements; use another one")

Services.wsgi = wsgi
sys.exit(app.main())
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_start_ends_the_server_by_one_sentence(tmp_path, workers):
    done = subprocess.run(
        [sys.executable, "-c", FAILING_WORKERS],
        cwd=ROOT,
        env={
            **os.environ,
            "AUTHSERVER_DATABASE_URL": f"sqlite:///{tmp_path / 'server.db'}",
            "AUTHSERVER_MASTER_KEY": MasterKey.fresh(),
            "AUTHSERVER_BIND": f"127.0.0.1:{free_port()}",
            "AUTHSERVER_STATE_DIRECTORY": str(tmp_path),
            "AUTHSERVER_WORKERS": str(workers),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == "Cannot start: the pooler forgets prepared statements; use another one\n"
    assert "Listening" not in done.stdout


def test_a_server_that_serves_says_where_once(tmp_path):
    database = f"sqlite:///{tmp_path / 'server.db'}"
    with Server(database, MasterKey.fresh(), workers=2, program=("app.py", "--")) as server:
        server.ready()
        said = f"Listening on {server.url}"
        wait_until("the address", lambda: said in server.log())
        assert server.stop() == 0
        assert server.log().count(said) == 1
