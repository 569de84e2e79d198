"""Why a database cannot be used: one sentence with the kind of reason, and no secret in it."""

import base64
import os
import sqlite3

import psycopg
import pytest

from app import create_app
from authserver.config import Config
from authserver.ports.errors import Unavailable
from authserver.store.engine.failures import UNREACHED, reason_of, unreached
from tests.support.postgres_cluster import PASSWORD, Cluster, free_port

MASTER = base64.b64encode(b"k" * 32).decode()


def fault(url, *, migrate=False):
    """What opening the store says."""
    config = Config(database_url=url, master_key=MASTER, issuer="https://as.example")
    services = create_app(config, background=False).extensions["services"]
    try:
        with pytest.raises(Unavailable) as caught:
            services.migrate() if migrate else services.store()
        text = str(caught.value)
        assert "hunter2" not in text
        assert PASSWORD not in text
        return text
    finally:
        services.close()


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as started:
        yield started


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sslmode": "require"}, "the server does not offer TLS"),
        ({"password": "hunter2"}, "authentication failed for user owner"),
        ({"user": "stranger"}, "authentication failed for user stranger"),
        ({"database": "nowhere"}, "there is no database nowhere"),
    ],
)
def test_a_refused_connection_names_its_reason(cluster, change, reason):
    assert fault(cluster.url(**change)).startswith(f"{UNREACHED}: {reason}")


def test_a_refused_port_and_a_host_that_does_not_resolve():
    refused = fault(f"postgres://owner:hunter2@127.0.0.1:{free_port()}/auth")
    assert refused.startswith(f"{UNREACHED}: the connection was refused")
    unknown = fault("postgres://owner:hunter2@no-such-host.invalid/auth")
    assert "does not resolve" in unknown


def test_too_many_connections(cluster):
    with cluster.admin() as admin:
        admin.execute("ALTER ROLE owner CONNECTION LIMIT 1")
        try:
            with psycopg.connect(cluster.url()):
                assert "too many connections" in fault(cluster.url())
        finally:
            admin.execute("ALTER ROLE owner CONNECTION LIMIT -1")


def test_a_read_only_standby(cluster):
    with cluster.admin() as admin:
        admin.execute("ALTER DATABASE auth SET default_transaction_read_only = on")
        try:
            assert "read-only standby" in fault(cluster.url(), migrate=True)
        finally:
            admin.execute("ALTER DATABASE auth RESET default_transaction_read_only")


def test_sqlite_files_that_cannot_be_used(tmp_path):
    assert "cannot be opened" in fault(f"sqlite:///{tmp_path}/missing/folder.db", migrate=True)
    (tmp_path / "text.db").write_text("this is no database, but a file of text" * 100, encoding="ascii")
    assert "damaged" in fault(f"sqlite:///{tmp_path}/text.db", migrate=True)


def test_a_schema_that_lacks_a_column_is_told_as_such(database_url):
    config = Config(database_url=database_url, master_key=MASTER, issuer="https://as.example")
    services = create_app(config, background=False).extensions["services"]
    services.migrate()
    store = services.store()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE users RENAME COLUMN role_version TO role_versions")
    with pytest.raises(Unavailable, match=r"the schema has no column .*role_version.*flask db check"):
        store.accounts.user("ada")
    services.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "the database file is read-only"),
        (sqlite3.OperationalError("disk I/O error"), "the disk fails"),
        (psycopg.errors.DiskFull("could not extend file"), "the disk of the server is full"),
        (psycopg.errors.QueryCanceled("canceling statement"), "a statement took too long and was cancelled"),
        (psycopg.errors.DuplicatePreparedStatement("exists"), "transaction pooler"),
        (psycopg.OperationalError("something new with password=hunter2"), ""),
    ],
)
def test_reasons_by_state_and_text(error, reason):
    assert reason in reason_of(error)
    assert "hunter2" not in unreached(error)


def test_a_new_sqlite_file_is_private_to_its_user(tmp_path):
    before = os.umask(0o022)
    try:
        config = Config(database_url=f"sqlite:///{tmp_path}/new.db", master_key=MASTER, issuer="https://as.example")
        services = create_app(config, background=False).extensions["services"]
        services.migrate()
        services.store()
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("new.db*")}
        services.close()
    finally:
        os.umask(before)
    assert "new.db" in modes
    assert set(modes.values()) == {"0o600"}, modes
