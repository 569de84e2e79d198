"""A backup is put back under a server that goes on running: it finds out, and no token of before lives (INV-03)."""

import json
import sqlite3
import subprocess
import time

from sqlalchemy import make_url

from app import create_app
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.store.engine.rollback_guard import RollbackGuard
from keys.master import MasterKey
from tests.faults.test_history import ISSUER, seed
from tests.support import databases, servers
from tests.support.wsgi_client import settled


class Backup:
    """A copy made by the database's own tools, which can be put back at any time."""

    def __init__(self, url, folder):
        self._url = make_url(url)
        self._file = folder / "backup"
        if self._url.drivername == "sqlite":
            self._copy(self._url.database, self._file)
        else:
            self._run("pg_dump", "--format=custom", f"--file={self._file}")

    def put_back(self):
        if self._url.drivername == "sqlite":
            self._copy(self._file, self._url.database)
        else:
            self._run("pg_restore", "--clean", "--single-transaction", self._file)

    @staticmethod
    def _copy(source, target):
        source, target = sqlite3.connect(source), sqlite3.connect(target)
        source.backup(target)
        source.close()
        target.close()

    def _run(self, tool, *words):
        where = (f"--host={self._url.query['host']}", "--username=postgres", f"--dbname={self._url.database}")
        subprocess.run([databases.postgres_tool(tool), *where, *words], check=True, capture_output=True, timeout=300)


def test_INV_03_a_backup_put_back_under_a_running_server_ends_every_token(database_url, tmp_path):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    state = tmp_path / "state"
    client = made[0]["client"], made[0]["secret"]
    with servers.start(database_url, key, env={"AUTHSERVER_STATE_DIRECTORY": str(state)}) as server:
        token = minted(server, client)
        assert introspected(server, token, api)["active"]
        backup = Backup(database_url, tmp_path)
        seq = revoked_of_another(made, database_url, key)
        for _ in settled(30):
            if any(json.loads(file.read_text())["seq"] >= seq for file in state.glob("witness-*.json")):
                break  # the server has seen what the backup lacks
        backup.put_back()
        for _ in settled(30):
            if not introspected(server, token, api)["active"]:
                break
        assert introspected(server, token, api) == {"active": False}
        assert introspected(server, minted(server, client), api)["active"]
        assert "database_is_older" in server.log()


def minted(server, client):
    status, body = server.post("/oauth/token", {"grant_type": "client_credentials"}, client)
    assert status == 200, body
    return body["access_token"]


def introspected(server, token, api):
    status, body = server.post("/oauth/introspect", {"token": token}, api)
    assert status == 200, body
    return body


def revoked_of_another(made, url, key):
    """Take a role from somebody who has nothing to do with the token; the audit record's number."""
    owner = next(each["user"] for each in made if each["user"] != made[0]["user"])
    settings = Config(database_url=url, master_key=key, issuer=ISSUER)
    services = create_app(settings, background=False).extensions["services"]
    accounts = services.store().accounts
    user_actions.revoke(accounts, owner, "writer", actor="test", now=int(time.time()))
    (record,) = accounts.audit_newest(1)
    services.close()
    return record.seq


def test_INV_05_a_new_connection_is_asked_how_new_the_database_is_before_it_answers(world, tmp_path):
    """A standby that lagged was promoted: what was revoked is alive there, and must not be found so even once."""
    store, token, other = world.store, world.access_token(), world.access_token()
    assert world.active(token)
    assert world.active(other)
    store.usage.flush()
    world.services._rollback_guard = RollbackGuard(store.thread_connections, tmp_path, store.pepper)
    world.post("/oauth/revoke", {"token": token}, world.client)
    assert not world.active(token)
    world.services._rollback_guard.record()
    store.thread_connections.drop()
    assert world.active(other)  # the same database by a new connection: nothing happened
    with store.engine.connect().execution_options(write=True) as connection:
        connection.exec_driver_sql("UPDATE sessions SET ended_at = NULL, end_reason = NULL")
        connection.exec_driver_sql("DELETE FROM kills WHERE seq = (SELECT kill_seq FROM audit_head)")
        connection.exec_driver_sql("UPDATE audit_head SET kill_seq = kill_seq - 1")
        connection.commit()
    store.thread_connections.drop()
    assert not world.active(token)
    assert not world.active(other)
    assert world.active(world.access_token())
