"""A world for each module, on both databases, whose events go to a receiver, a round at a time."""

import ipaddress

import pytest

from authserver.actions.events import webhooks
from authserver.delivery.outbox_relay import OutboxRelay
from authserver.delivery.webhook_sender import WebhookSender
from tests.support import databases
from tests.support.api_client import ApiWorld
from tests.support.webhook_receiver import WebhookReceiver

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Telling:
    """A world, a receiver, and the rounds of one node."""

    def __init__(self, world):
        self.world, self.receiver = world, WebhookReceiver()
        self.rounds = self.node()
        world.clock.at += 120  # no lease of another test holds, and a sweep is due
        self.client = world.credential()

    def node(self):
        """The rounds of one more node over the same database."""
        store = self.world.store

        def watch(told):
            store.usage.on_issued = store.secret_networks.issued if told else None

        return OutboxRelay(
            store=store,
            sender=WebhookSender(store, LOOPBACK),
            networks=store.secret_networks,
            now=lambda: self.world.clock.at,
            mailer=None,
            mail=0,
            watch=watch,
        )

    def webhook(self, *events, **more):
        """A webhook and its secret."""
        made = webhooks.create(
            self.world.accounts,
            more.pop("url", self.receiver.url),
            pepper=self.world.store.pepper,
            events=events,
            **self.world.who,
        )
        return made.webhook.id, made.secret

    def round(self, seconds=1):
        """The clock moves, and one round is made; what came by it."""
        self.world.clock.at += seconds
        before = len(self.receiver.received)
        self.rounds.once()
        return self.receiver.received[before:]

    def delivery(self, webhook_id, number=0):
        """A delivery of a webhook, the newest first."""
        return self.world.store.webhooks.deliveries(webhook_id, 100)[number]

    def close(self):
        for each in self.world.store.webhooks.all():
            webhooks.delete(self.world.accounts, each.id, **self.world.who)
        self.world.clock.at += 120
        self.node().once()
        self.rounds.sender.close()
        self.receiver.close()


ON_SQLITE_ONLY = {"test_ways_in"}
"""Modules in which no statement is asked that another module does not ask on both databases."""


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    if request.param == "sqlite":
        url = databases.fresh_sqlite_url(tmp_path_factory.mktemp("events"))
    else:
        url = databases.fresh_postgres_url()
    world = ApiWorld(url)
    yield world
    world.services.close()


@pytest.fixture
def telling(world):
    made = Telling(world)
    yield made
    made.close()


def pytest_generate_tests(metafunc):
    if "world" in metafunc.fixturenames:
        one = metafunc.module.__name__.rpartition(".")[2] in ON_SQLITE_ONLY
        metafunc.parametrize("world", ["sqlite"] if one else ["sqlite", "postgresql"], indirect=True, scope="module")
