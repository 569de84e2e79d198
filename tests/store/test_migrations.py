"""The schema goes up, down and up again, by many at once, and a program refuses one that is not its own."""

import json
import subprocess
import sys

import pytest

from app import create_app
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.ports.errors import Invalid, Unavailable
from authserver.store.engine.maintenance import Maintenance
from authserver.store.engine.schema import MIGRATIONS
from authserver.store.tables import db
from tests.support.processes import ROOT
from tests.support.shell import MASTER_KEY
from tests.support.stores import engine_for

ISSUER = "http://127.0.0.1:8000"


class Site:
    """A program over a database nobody has touched."""

    def __init__(self, url):
        self.url = url
        settings = Config(database_url=url, master_key=MASTER_KEY, issuer=ISSUER)
        self.app = create_app(settings, background=False)
        self.services = self.app.extensions["services"]
        self.context = self.app.app_context()
        self.context.push()
        self.upkeep = Maintenance(db.engine, MIGRATIONS)

    def execute(self, statement):
        engine = engine_for(self.url)
        with engine.connect().execution_options(write=True) as connection:
            connection.exec_driver_sql(statement)
            connection.commit()
        engine.dispose()

    def close(self):
        self.services.close()
        db.engine.dispose()
        self.context.pop()


@pytest.fixture
def site(database_url):
    made = Site(database_url)
    yield made
    made.close()


def test_up_down_and_up_again_step_by_step(site):
    steps = [step.revision for step in site.upkeep.history()][::-1]
    for _ in range(2):
        for revision in steps:
            site.upkeep.upgrade(revision)
            assert site.upkeep.schema().revision == revision
        assert site.upkeep.schema().state == "current"
        assert site.upkeep.differences() == ()
        for revision in (*steps[-2::-1], "base"):
            site.upkeep.downgrade(revision)
        assert site.upkeep.schema().state == "missing"
    site.upkeep.upgrade()


def test_what_the_newest_step_does_not_touch_outlives_its_undoing(site):
    site.services.migrate()
    accounts = site.services.store().accounts
    role_actions.create_role(accounts, "reader", "operational", (), actor="test", now=1)
    user_actions.create_user(accounts, "ada", ["reader"], actor="test", now=1)
    site.services.close()
    for revision in [step.revision for step in site.upkeep.history()][1:]:
        site.upkeep.downgrade(revision)
    site.upkeep.upgrade()
    accounts = site.services.store().accounts
    assert accounts.user("ada").role_names == ("reader",)
    assert accounts.audit_verify().first_bad is None


def test_an_older_schema_is_refused_with_the_command_that_helps(site):
    site.services.migrate()
    older = site.upkeep.history()[1].revision
    site.upkeep.downgrade(older)
    with pytest.raises(Unavailable, match=rf"the schema is at {older} .*run `flask db upgrade`"):
        site.services.store()


def test_T_189_a_newer_schema_is_refused_and_left_alone(site):
    site.services.migrate()
    site.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match="at 9999, which this program"):
        site.services.store()
    with pytest.raises(Invalid, match="at 9999, which this program"):
        site.services.migrate()
    assert site.upkeep.schema().revision == "9999"


def start(url, *program, **more):
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "AUTHSERVER_DATABASE_URL": url,
            "AUTHSERVER_MASTER_KEY": MASTER_KEY,
            "AUTHSERVER_BIND": "127.0.0.1:18399",
            **more,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("revision", "migrate"), [("9999", "1"), ("9999", "0"), ("0001", "0")])
def test_the_server_says_in_one_sentence_why_it_does_not_start(site, revision, migrate):
    site.services.migrate()
    site.execute(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - one of the three above
    with start(site.url, "app.py", AUTHSERVER_MIGRATE=migrate) as server:
        out, err = server.communicate(timeout=300)
    assert server.returncode == 1
    assert out == ""
    assert err.startswith("Cannot start: the schema is at ")
    assert err.count("\n") == 1, err


SEED = """
import json, os, sys, traceback
from app import create_app

def seed():
    services = create_app(background=False).extensions["services"]
    services.migrate()
    ring = services.store().keys.ring()
    services.close()
    os.write(1, (json.dumps([[key.kid, key.state] for key in ring]) + "\\n").encode())

children = []
for _ in range(8):
    child = os.fork()  # so that all begin in the same moment, with everything imported
    if child == 0:
        try:
            seed()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_INV_16_eight_at_once_find_one_schema_one_key_and_one_vault(site):
    """F-30: one migrates and seeds, the others wait and find it done."""
    with start(site.url, "-c", SEED) as eight:
        out, err = eight.communicate(timeout=300)
    assert (eight.returncode, err) == (0, "")
    said = out.splitlines()
    assert len(said) == 8
    assert len(set(said)) == 1, said
    assert [state for _, state in json.loads(said[0])] == ["active"]
    assert site.upkeep.schema().state == "current"
    accounts = site.services.store().accounts
    assert [each.event for each in accounts.audit_records()] == ["key.activated"]
    assert accounts.audit_verify().first_bad is None
