"""The idle rule on two servers: a use on one counts on the other, survives ``kill -9``, and dead stays dead."""

import time

from werkzeug.test import Client

from app import create_app
from authserver.actions import general_settings
from authserver.config import Config
from authserver.rules.idle import USE_TOLERANCE
from keys.master import MasterKey
from tests.conftest import FixedClock
from tests.faults.test_history import ISSUER, seed
from tests.support import servers
from tests.support.wsgi_client import basic

IDLE = 60
AGE = 45


def issued_long_ago(url, key, made, count):
    """Tokens that are ``AGE`` seconds old already, so that nobody must wait for a whole timeout."""
    settings = Config(database_url=url, master_key=key, issuer=ISSUER)
    clock = FixedClock(int(time.time()))
    services = create_app(settings, clock=clock, background=False).extensions["services"]
    general_settings.set_general(services.store().accounts, "idle_timeout_minutes", "1", actor="test", now=clock.at)
    clock.at -= AGE
    client = Client(services.wsgi())
    answers = [
        client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": basic(made["client"], made["secret"])},
        )
        for _ in range(count)
    ]
    services.close()
    return [answer.json["access_token"] for answer in answers], clock.at


def look(server, api, token):
    status, body = server.post("/oauth/introspect", {"token": token}, api)
    assert status == 200, body
    return body["active"]


def test_inv_06_a_use_on_one_node_keeps_the_token_alive_on_the_other(database_url):
    key = MasterKey.fresh()
    made, api = seed(database_url, key)
    with servers.start(database_url, key) as one, servers.start(database_url, key) as two:
        (used, unused), began = issued_long_ago(database_url, key, made[0], 2)
        assert look(one, api, used)
        time.sleep(USE_TOLERANCE)
        one.kill9()  # what was noted more than ε ago is on disk
        time.sleep(max(0.0, began + IDLE + USE_TOLERANCE - time.time()))
        assert look(two, api, used)
        assert not look(two, api, unused)
        two.kill9()
    settings = Config(database_url=database_url, master_key=key, issuer=ISSUER)
    services = create_app(settings, background=False).extensions["services"]
    general_settings.set_general(
        services.store().accounts, "idle_timeout_minutes", "1440", actor="test", now=int(time.time())
    )
    services.close()
    with servers.start(database_url, key) as three:
        assert look(three, api, used)
        assert not look(three, api, unused)
