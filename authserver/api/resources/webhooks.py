"""Webhooks: where events are sent, and what became of each."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from authserver.actions.events import webhooks as webhook_actions
from authserver.api.context import ApiContext
from authserver.api.cursors import decode, encode, part
from authserver.api.operations import SECURITY, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import InstantOut, Items, Model, Overlap, Paged
from authserver.ports.errors import AlreadyDone
from authserver.ports.events.webhooks import Delivery, DeliveryCounts, Webhook
from authserver.ports.transaction import Transaction
from authserver.rules.events.addresses import MAX_URL
from authserver.rules.names import MAX_DISPLAY_NAME

Url = Annotated[str, Field(min_length=1, max_length=MAX_URL, description="An https URL.")]
Events = Annotated[
    list[Annotated[str, Field(max_length=64)]], Field(max_length=50, description="The types it takes; none: all.")
]
Description = Annotated[str, Field(max_length=MAX_DISPLAY_NAME)]
State = Literal["pending", "delivered", "dead"]


class WebhookDocument(Model):
    """A webhook, without its secret."""

    id: str
    url: str
    description: str
    events: list[str] = Field(description="The types it takes; none: all.")
    created_at: InstantOut
    disabled_at: InstantOut | None
    old_secret_ends_at: InstantOut | None = Field(description="Until then deliveries are signed by both secrets.")
    pending: int = Field(description="Deliveries that are still to be made.")
    dead: int = Field(description="Deliveries that were given up.")

    @classmethod
    def of(cls, webhook: Webhook, counts: DeliveryCounts) -> "WebhookDocument":
        """As the store has it."""
        return cls(
            id=webhook.id,
            url=webhook.url,
            description=webhook.description,
            events=list(webhook.events),
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
            old_secret_ends_at=webhook.old_ends_at,
            pending=counts.pending,
            dead=counts.dead,
        )


class RevealedWebhookDocument(WebhookDocument):
    """A webhook and its secret."""

    secret: str | None = Field(description="`whsec_…`, shown this once; null where the request was answered before.")


class NewWebhook(Model):
    """Where events shall be sent."""

    url: Url
    events: Annotated[Events, Field(default_factory=list)]
    description: Description = ""


class WebhookChanges(Model):
    """What shall be otherwise."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None


class NewWebhookSecret(Model):
    """How long the old secret goes on signing beside the new one."""

    overlap_seconds: Overlap = 86400


class DeliveryDocument(Model):
    """One event on its way to one webhook."""

    id: str = Field(description="Its `webhook-id`: the same at each attempt.")
    type: str
    object: str = Field(description="What it happened to; of one object nothing overtakes.")
    created_at: InstantOut
    state: State
    attempts: int
    next_attempt_at: InstantOut | None
    delivered_at: InstantOut | None
    last_status: int | None
    last_error: str

    @classmethod
    def members(cls, delivery: Delivery) -> dict[str, Any]:
        """As the store has it."""
        return {
            "id": delivery.id,
            "type": delivery.type,
            "object": delivery.object,
            "created_at": delivery.at,
            "state": delivery.state,
            "attempts": delivery.attempts,
            "next_attempt_at": delivery.next_at,
            "delivered_at": delivery.delivered_at,
            "last_status": delivery.last_status,
            "last_error": delivery.last_error,
        }


class AttemptDocument(Model):
    """One attempt of a delivery."""

    number: int
    at: InstantOut
    milliseconds: int
    status: int | None = Field(description="Null where no answer came.")
    error: str


class DeliveryDetailDocument(DeliveryDocument):
    """One delivery with its data and its attempts."""

    data: dict[str, Any] = Field(description="The member `data` of its body.")
    log: list[AttemptDocument]


class DeliveriesQuery(Paged):
    """Which deliveries."""

    state: State | None = None


class ReplayedDocument(Model):
    """How much is sent again."""

    deliveries: int


def etag_of_webhook(webhook: Webhook) -> str:
    """Names what can be edited."""
    return etag_of(webhook.id, webhook.version)


def _etag_in(webhook_id: str) -> Callable[[Transaction], str]:
    return lambda tx: etag_of_webhook(tx.webhooks.find(webhook_id))


def _show(context: ApiContext, webhook_id: str) -> Answer:
    webhook = context.store.webhooks.find(webhook_id)
    counts = context.store.webhooks.counts().get(webhook_id, DeliveryCounts())
    return Answer(WebhookDocument.of(webhook, counts), etag=etag_of_webhook(webhook))


def _revealed(context: ApiContext, webhook_id: str, secret: str | None) -> RevealedWebhookDocument:
    webhook = context.store.webhooks.find(webhook_id)
    document = WebhookDocument.of(webhook, context.store.webhooks.counts().get(webhook_id, DeliveryCounts()))
    return RevealedWebhookDocument(**dict(document), secret=secret)


@operation("GET", "/webhooks", access=SECURITY, tag="webhooks", answer=Items[WebhookDocument], query=Paged)
def list_webhooks(context: ApiContext, query: Paged) -> Answer:
    """List webhooks by their ids."""
    counts = context.store.webhooks.counts()
    found = sorted(context.store.webhooks.all(), key=lambda each: each.id)
    shown, more = part(found, query, query.cursor, query.limit, [each.id for each in found])
    items = [WebhookDocument.of(each, counts.get(each.id, DeliveryCounts())) for each in shown]
    return Answer(Items[WebhookDocument](items=items, next_cursor=more))


@operation(
    "POST",
    "/webhooks",
    access=SECURITY,
    tag="webhooks",
    answer=RevealedWebhookDocument,
    status=201,
    body=NewWebhook,
    creates=True,
    etag=True,
)
def create_webhook(context: ApiContext, body: NewWebhook) -> Answer:
    """Let events be sent to a URL.

    Its secret is in this answer and nowhere else. Each delivery is signed by it (Standard Webhooks).
    """
    secret = None
    try:
        made = webhook_actions.create(
            context.creating().accounts,
            body.url,
            pepper=context.store.pepper,
            events=body.events,
            description=body.description,
            **context.who,
        )
        webhook_id, secret = made.webhook.id, made.secret
    except AlreadyDone as done:
        webhook_id = done.subject
    document = _revealed(context, webhook_id, secret)
    return Answer(
        document,
        etag=etag_of_webhook(context.store.webhooks.find(webhook_id)),
        location=f"/webhooks/{webhook_id}",
        replayed=secret is None,
    )


@operation("GET", "/webhooks/<webhook_id>", access=SECURITY, tag="webhooks", answer=WebhookDocument, etag=True)
def read_webhook(context: ApiContext, webhook_id: str) -> Answer:
    """Show one webhook."""
    return _show(context, webhook_id)


@operation(
    "PATCH",
    "/webhooks/<webhook_id>",
    access=SECURITY,
    tag="webhooks",
    answer=WebhookDocument,
    body=WebhookChanges,
    edits=True,
    etag=True,
)
def edit_webhook(context: ApiContext, webhook_id: str, body: WebhookChanges) -> Answer:
    """Change where it is sent, what is sent, or what it is called."""
    webhook_actions.edit(
        context.editing(_etag_in(webhook_id)).accounts,
        webhook_id,
        url=body.url,
        events=body.events,
        description=body.description,
        **context.who,
    )
    return _show(context, webhook_id)


@operation("DELETE", "/webhooks/<webhook_id>", access=SECURITY, tag="webhooks", edits=True)
def delete_webhook(context: ApiContext, webhook_id: str) -> Answer:
    """Delete a webhook with its deliveries; what is on its way is not sent any more."""
    webhook_actions.delete(context.editing(_etag_in(webhook_id)).accounts, webhook_id, **context.who)
    return Answer()


@operation(
    "POST",
    "/webhooks/<webhook_id>/secrets",
    access=SECURITY,
    tag="webhooks",
    answer=RevealedWebhookDocument,
    status=201,
    body=NewWebhookSecret,
    creates=True,
)
def rotate_webhook_secret(context: ApiContext, webhook_id: str, body: NewWebhookSecret) -> Answer:
    """Make a new secret; while both overlap, deliveries have a signature by each."""
    secret = None
    try:
        secret = webhook_actions.rotate(
            context.creating().accounts, webhook_id, body.overlap_seconds, pepper=context.store.pepper, **context.who
        ).secret
    except AlreadyDone as done:
        webhook_id = done.subject
    return Answer(_revealed(context, webhook_id, secret), replayed=secret is None)


@operation(
    "POST",
    "/webhooks/<webhook_id>/disable",
    access=SECURITY,
    tag="webhooks",
    answer=WebhookDocument,
    edits=True,
    etag=True,
)
def disable_webhook(context: ApiContext, webhook_id: str) -> Answer:
    """Send nothing any more; what is on its way waits, and what happens meanwhile is not told."""
    webhook_actions.disable(context.editing(_etag_in(webhook_id)).accounts, webhook_id, **context.who)
    return _show(context, webhook_id)


@operation(
    "POST",
    "/webhooks/<webhook_id>/enable",
    access=SECURITY,
    tag="webhooks",
    answer=WebhookDocument,
    edits=True,
    etag=True,
)
def enable_webhook(context: ApiContext, webhook_id: str) -> Answer:
    """Send again, first what waits."""
    webhook_actions.enable(context.editing(_etag_in(webhook_id)).accounts, webhook_id, **context.who)
    return _show(context, webhook_id)


@operation("POST", "/webhooks/<webhook_id>/test", access=SECURITY, tag="webhooks", status=202, answer=WebhookDocument)
def test_webhook(context: ApiContext, webhook_id: str) -> Answer:
    """Send a `webhook.test` event to it, and to no other."""
    webhook_actions.test(context.accounts, webhook_id, **context.who)
    return _show(context, webhook_id)


@operation(
    "GET",
    "/webhooks/<webhook_id>/deliveries",
    access=SECURITY,
    tag="webhooks",
    answer=Items[DeliveryDocument],
    query=DeliveriesQuery,
)
def list_deliveries(context: ApiContext, webhook_id: str, query: DeliveriesQuery) -> Answer:
    """List the deliveries of a webhook, the newest first; what is over is kept for 30 days."""
    context.store.webhooks.find(webhook_id)
    place = decode(query, query.cursor, int)
    before = None if place is None else int(place[0])
    found = context.store.webhooks.deliveries(webhook_id, query.limit + 1, before=before, state=query.state or "")
    shown = found[: query.limit]
    more = encode(query, shown[-1].seq) if len(found) > query.limit else None
    items = [DeliveryDocument(**DeliveryDocument.members(each)) for each in shown]
    return Answer(Items[DeliveryDocument](items=items, next_cursor=more))


@operation(
    "GET",
    "/webhooks/<webhook_id>/deliveries/<event_id>",
    access=SECURITY,
    tag="webhooks",
    answer=DeliveryDetailDocument,
)
def read_delivery(context: ApiContext, webhook_id: str, event_id: str) -> Answer:
    """Show one delivery with its data and its attempts."""
    delivery, attempts = context.store.webhooks.delivery(webhook_id, event_id)
    log = [
        AttemptDocument(
            number=each.number, at=each.at, milliseconds=each.milliseconds, status=each.status, error=each.error
        )
        for each in attempts
    ]
    return Answer(DeliveryDetailDocument(**DeliveryDocument.members(delivery), data=json.loads(delivery.data), log=log))


@operation(
    "POST",
    "/webhooks/<webhook_id>/deliveries/<event_id>/replay",
    access=SECURITY,
    tag="webhooks",
    status=202,
    answer=ReplayedDocument,
)
def replay_delivery(context: ApiContext, webhook_id: str, event_id: str) -> Answer:
    """Send one event again, with the same `webhook-id`."""
    webhook_actions.replay(context.accounts, webhook_id, event_id, **context.who)
    return Answer(ReplayedDocument(deliveries=1))


@operation(
    "POST", "/webhooks/<webhook_id>/replay", access=SECURITY, tag="webhooks", status=202, answer=ReplayedDocument
)
def replay_dead_deliveries(context: ApiContext, webhook_id: str) -> Answer:
    """Send everything again that was given up."""
    return Answer(ReplayedDocument(deliveries=webhook_actions.replay_dead(context.accounts, webhook_id, **context.who)))
