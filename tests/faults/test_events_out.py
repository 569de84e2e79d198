"""``kill -9`` of the server while things change: no acknowledged change loses its event, and none has two ids."""

import json
import os
import time

import pytest
from sqlalchemy import update

from authserver.actions import credentials
from authserver.actions.events import webhooks
from authserver.store.engine.connections import writing
from authserver.store.tables import event_outbox
from keys.master import MasterKey
from tests.faults.test_history import ISSUER, seed
from tests.support import databases, servers
from tests.support.deadlines import wait_until
from tests.support.webhook_receiver import WebhookReceiver

KILLS = max(1, int(os.environ.get("CRASH_RUNS", "40")) // 20)
CHANGES = 8


@pytest.mark.parametrize(("backend", "kills"), [("sqlite", KILLS), ("postgresql", max(1, KILLS // 2))])
def test_no_acknowledged_change_loses_its_event(tmp_path, backend, kills):
    from app import create_app
    from authserver.config import Config

    url = databases.fresh_sqlite_url(tmp_path) if backend == "sqlite" else databases.fresh_postgres_url()
    key = MasterKey.fresh()
    made, _ = seed(url, key)
    services = create_app(Config(database_url=url, master_key=key, issuer=ISSUER), background=False).extensions[
        "services"
    ]
    store = services.store()

    def who():
        return {"actor": "test", "now": int(time.time())}

    with WebhookReceiver() as receiver:
        hook = webhooks.create(
            store.accounts, receiver.url, pepper=store.pepper, events=["secret.regenerated"], **who()
        )
        options = {"env": {"AUTHSERVER_WEBHOOK_NETWORKS": "127.0.0.0/8"}}
        changed = []
        for _ in range(kills):
            server = servers.start(url, key, **options)
            before = len(receiver.received)
            for number in range(CHANGES):
                client = made[number % len(made)]["client"]
                credentials.regenerate(store.accounts, client, 0, pepper=store.pepper, **who())
                changed.append(client)
            wait_until("a delivery", lambda before=before: len(receiver.received) > before)
            server.kill9()
            server.close()
            with writing(store.engine) as connection:  # as if the lease of the dead were over: nobody waits for it here
                connection.execute(update(event_outbox).values(lease_until=0))
        with servers.start(url, key, **options):
            wait_until("all events", lambda: len({each.id for each in receiver.received}) >= len(changed))
        first = {}
        for came in receiver.received:
            came.verified(hook.secret)
            assert first.setdefault(came.id, came).body == came.body  # a second time it is the same event
        assert len(first) == len(changed)
        for client in set(changed):
            mine = [each for each in first if json.loads(first[each].body)["data"]["client_id"] == client]
            assert len(mine) == changed.count(client)
            order = [store.webhooks.delivery(hook.webhook.id, each)[0].seq for each in mine]
            assert order == sorted(order), "in the order of the changes"
    services.close()
