"""A database that is older than it should be (INV-03), and the schema of keys."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import make_url
from werkzeug.test import Client

from authserver.actions import general_settings
from authserver.store.engine.connections import writing
from authserver.store.tables import db
from keys.keyring import State
from tests.keys.life.support import DAY, HOUR, key_context, services
from tests.support import databases
from tests.support.wsgi_client import basic


def copied(url, folder):
    """A backup of a database that nobody has open."""
    if url.startswith("sqlite"):
        target = databases.fresh_sqlite_url(folder)
        shutil.copy(make_url(url).database, target.removeprefix("sqlite:///"))
        return target
    return databases.fresh_postgres_url(make_url(url).database)


def test_INV_03_a_restored_backup_raises_the_epoch_by_itself(world, tmp_path):
    token = world.access_token()
    assert world.active(token)
    state = str(tmp_path / "state")
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    world.services.close()
    backup = copied(world.url, tmp_path)
    # What was done behind the backup is lost with it: the owner has the role again.
    node = services(world.url, state_directory=state)
    from authserver.actions import users as user_actions

    user_actions.revoke(node.store().accounts, "ada", "writer", actor="test", now=node.clock_.at)
    node.close()
    unknowing = services(backup, state_directory=str(tmp_path / "elsewhere"))
    assert unknowing.store().accounts.general().epoch == 1
    unknowing.close()
    restored = [services(backup, state_directory=state) for _ in range(4)]
    for each in restored:
        each.clock_.at = node.clock_.at
    with ThreadPoolExecutor(4) as pool:
        epochs = {each.epoch for each in pool.map(lambda each: each.store().accounts.general(), restored)}
    assert epochs == {node.clock_.at}
    records = [each for each in restored[0].store().accounts.audit_records() if each.event == "database.restored"]
    assert len(records) == 1
    assert "audit records" in records[0].detail
    http = Client(restored[0].wsgi())
    answer = http.post("/oauth/introspect", data={"token": token}, headers={"Authorization": basic(*world.api)})
    assert answer.json == {"active": False}
    fresh = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic(*world.client)}
    ).json["access_token"]
    answer = http.post("/oauth/introspect", data={"token": fresh}, headers={"Authorization": basic(*world.api)})
    assert answer.json["active"] is True
    for each in restored:
        each.close()
    again = services(backup, state_directory=state)
    assert again.store().accounts.general().epoch in epochs
    again.close()


def test_a_database_that_is_as_new_as_it_was_is_left_alone(world, tmp_path):
    state = str(tmp_path / "state")
    for _ in range(3):
        node = services(world.url, state_directory=state)
        node.store()
        node._rollback_guard.record(count_at=1)
        general_settings.set_general(
            node.store().accounts, "idle_timeout_minutes", str(20 + _), actor="test", now=node.clock_.at
        )
        node.close()
    assert world.accounts.general().epoch == 1
    assert len(list(Path(state).glob("witness-*.json"))) == 1


def test_a_backup_is_noticed_by_the_count_where_no_change_was_recorded(world, tmp_path):
    state = str(tmp_path / "state")
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    world.services.close()
    backup = copied(world.url, tmp_path)
    node = services(world.url, state_directory=state)
    node.store()
    node._rollback_guard.record(count_at=1)
    node.close()
    late = services(backup, state_directory=state)
    assert late.store().accounts.general().epoch > 1
    late.close()


def test_INV_24_the_program_before_works_on_this_schema_and_the_way_back_leads_here_again(database_url):
    node = services(database_url)
    node.migrate()
    (key,) = node.store().keys.ring()
    node.close()
    maintenance = node._app.extensions["maintenance"]
    with node._app.app_context():
        with writing(db.engine) as connection:
            # As a program of schema 0001 writes it: it knows no new column.
            connection.exec_driver_sql(
                "INSERT INTO signing_keys (kid, alg, state, public_jwk, created_at, token_life) "
                "SELECT 'old', alg, 'staged', public_jwk, created_at, 0 FROM signing_keys"
            )
        maintenance.downgrade("0001")
        assert maintenance.schema().state == "older"
        maintenance.upgrade()
        assert maintenance.differences() == ()
        db.engine.dispose()
    ring_now = {each.kid: (each.state, each.key_store) for each in node.store().keys.ring()}
    assert ring_now == {key.kid: (State.ACTIVE, "database"), "old": (State.STAGED, "database")}
    assert node.store().accounts.general().key_announcement_hours == 24
    node.close()


def test_every_general_setting_of_keys_is_read_as_it_was_set(world, shell):
    for name, value in (("key_rotation_days", 30), ("key_announcement_hours", 2), ("key_patience_hours", 0)):
        assert shell.json("settings", "set", name, str(value)) == {name: value}
    policy = key_context(world).policy
    assert (policy.period, policy.announcement, policy.patience) == (30 * DAY, 2 * HOUR, 0)
    assert shell.json("settings", "set", "key_rotation_days", "0") == {"key_rotation_days": 0}
    assert key_context(world).policy.period is None
