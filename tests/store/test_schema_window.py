"""Two versions on one schema: the older starts on what the newer made, within the window, and not beyond (INV-24)."""

import re
import shutil
import subprocess
import sys
import threading

import pytest

from authserver.ports.errors import Unavailable
from authserver.store.engine.schema import MIGRATIONS
from keys.master import MasterKey
from tests.faults.test_history import seed
from tests.store.test_migrations import Site
from tests.support import servers
from tests.support.deadlines import wait_until
from tests.support.processes import ROOT

HEAD = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
FIRST = int(HEAD) + 1

STEP = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
runs_from = "{runs_from}"


def upgrade():
    op.add_column("users", sa.Column("note_{revision}", sa.String(20)))
    op.create_table("made_{revision}", sa.Column("id", sa.String(64), primary_key=True))


def downgrade():
    op.drop_table("made_{revision}")
    op.drop_column("users", "note_{revision}")
"""


def newer(folder, *windows):
    """A copy of this program with one migration more for each window; the path of its ``app.py``."""
    for name in ("authserver", "keys", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "app.py", folder)
    before = HEAD
    for number, runs_from in enumerate(windows, FIRST):
        revision = f"{number:04d}"
        text = STEP.format(revision=revision, before=before, runs_from=runs_from)
        (folder / "migrations" / "versions" / f"{revision}_step.py").write_text(text, encoding="ascii")
        before = revision
    return folder / "app.py"


def flask(program, url, *words):
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", str(program), *words],
        cwd=program.parent,
        env={"PATH": "/usr/bin:/bin", "AUTHSERVER_DATABASE_URL": url, "AUTHSERVER_MASTER_KEY": "A" * 43},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


class Load:
    """Asks for tokens and introspects them on all nodes that are up, and keeps what went wrong."""

    def __init__(self, made, api):
        self.made, self.api, self.nodes, self.faults, self.done = made, api, [], [], 0
        self._stop, self._checker = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            with self._checker:
                try:
                    self._ask_all()
                except (AssertionError, OSError) as error:
                    self.faults.append(repr(error))
            self._stop.wait(0.01)

    def _ask_all(self):
        for issuer in self.nodes:
            token = self.token(issuer)
            for asked in self.nodes:
                status, body = asked.post("/oauth/introspect", {"token": token}, self.api)
                if (status, body.get("active")) != (200, True):
                    self.faults.append((issuer.url, asked.url, status, body))
                self.done += 1

    def token(self, node):
        status, body = node.post("/oauth/token", {"grant_type": "client_credentials"}, self.client)
        assert status == 200, body
        return body["access_token"]

    @property
    def client(self):
        return self.made[0]["client"], self.made[0]["secret"]

    def now_on(self, *nodes):
        with self._checker:
            self.nodes = list(nodes)
            before = self.done
        wanted = before + 10 * len(nodes) ** 2
        wait_until("load on all nodes", lambda: self.done >= wanted)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_INV_24_forward_and_back_node_by_node_under_load(database_url, tmp_path):
    program, key = newer(tmp_path / "newer", HEAD), MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key) as old, Load(made, api) as load:
        load.now_on(old)
        with servers.start(database_url, key, program=(str(program),)) as new:
            load.now_on(old, new)
            load.now_on(new)
            assert old.stop() == 0
            with servers.start(database_url, key) as again:
                load.now_on(again, new)
                dead, alive = load.token(new), load.token(again)
                status, _ = again.post("/oauth/revoke", {"token": dead}, load.client)
                assert status == 200
                for node in (new, again):
                    assert node.post("/oauth/introspect", {"token": dead}, api)[1] == {"active": False}
                    assert node.post("/oauth/introspect", {"token": alive}, api)[1]["active"]
                load.now_on(again)
                assert new.stop() == 0
                with servers.start(database_url, key) as back:
                    load.now_on(again, back)
                    load.now_on()
        assert load.faults == []
        assert load.done >= 60


@pytest.fixture
def site(database_url):
    made = Site(database_url)
    yield made
    made.close()


def test_a_program_outside_the_window_is_refused_and_one_inside_says_so(site, tmp_path):
    site.services.migrate()
    assert site.upkeep.schema().state == "current"
    inside, outside = newer(tmp_path / "one", HEAD), newer(tmp_path / "two", HEAD, f"{FIRST + 1:04d}", HEAD)
    assert flask(inside, site.url, "db", "upgrade").returncode == 0
    assert (site.upkeep.schema().state, site.upkeep.schema().revision) == ("ahead", f"{FIRST:04d}")
    site.services.migrate()
    site.services.store()
    site.services.close()
    assert site.upkeep.schema().revision == f"{FIRST:04d}", "an older program moves nothing"
    # One step in the middle that no older program may pass closes the window for all of them.
    assert flask(outside, site.url, "db", "upgrade").returncode == 0
    with pytest.raises(Unavailable, match=f"the schema is at {FIRST + 2:04d}, which this program, at {HEAD}"):
        site.services.store()
    assert flask(outside, site.url, "db", "downgrade", f"{FIRST:04d}", "--yes").returncode == 0
    assert site.upkeep.schema().state == "ahead"
    site.services.store()


def test_the_window_holds_for_the_schema_it_was_written_for_and_no_other(site):
    site.services.migrate()
    site.execute("UPDATE alembic_version SET version_num = '9999'")
    assert site.upkeep.schema().state == "newer"


def test_every_migration_since_says_how_far_back_it_is_compatible():
    files = [path for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py") if path.name >= "0016"]
    assert files
    for path in files:
        found = re.search(r'^runs_from = "([0-9]{4})"', path.read_text(encoding="utf-8"), re.MULTILINE)
        assert found, f"{path.name} has no runs_from"
        assert found[1] <= path.name[:4], path.name


def test_the_doctor_names_the_column_that_is_missing(site):
    site.services.migrate()
    site.execute("ALTER TABLE users RENAME COLUMN role_version TO role_versions")
    result = flask(ROOT / "app.py", site.url, "doctor")
    assert result.returncode != 0
    (line,) = [each for each in result.stdout.splitlines() if "role_version" in each and "tables" in each]
    assert "flask db check" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr, line
