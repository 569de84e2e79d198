"""``flask webhooks``: where events are sent, and what became of each."""

import json

import click

from authserver.actions.events import webhooks as webhook_actions
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.durations import OVERLAP
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.ports.events.webhooks import STATES, Delivery, DeliveryCounts, Webhook
from authserver.rules.events.catalogue import EVENT_TYPES

webhooks = Noun("webhooks", help="Where events are sent, signed by Standard Webhooks, and what became of each.")

ONCE = "The secret is shown this once; the receiver verifies each delivery by it."
_EXAMPLE = "wh_0f6e9d1c2b3a4f5e8d7c6b5a49382716"
_EVENT = "evt_0f6e9d1c2b3a4f5e8d7c6b5a49382716"


def _document(webhook: Webhook, counts: DeliveryCounts | None = None) -> dict[str, object]:
    document: dict[str, object] = {
        "id": webhook.id,
        "url": webhook.url,
        "description": webhook.description,
        "events": list(webhook.events),
        "disabled": webhook.disabled_at is not None,
        "created_at": iso(webhook.created_at),
        "old_secret_ends_at": iso_or_none(webhook.old_ends_at),
    }
    return document if counts is None else {**document, "pending": counts.pending, "dead": counts.dead}


def _delivery_document(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "type": delivery.type,
        "object": delivery.object,
        "at": iso(delivery.at),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": iso_or_none(delivery.next_at),
        "delivered_at": iso_or_none(delivery.delivered_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }


@webhooks.command(
    "create",
    examples=(
        "flask webhooks create https://hooks.example.com/auth",
        "flask webhooks create https://hooks.example.com/auth --event secret.leaked --event audit.chain_broken --json",
    ),
)
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(tuple(EVENT_TYPES)), help="A type it takes; none: all."
)
@click.option("--description", default="", help="What people call it.")
def create(url: str, events: tuple[str, ...], description: str) -> Answer:
    """Let events be sent to a URL; its secret is for the receiver."""
    context = command_context()
    made = webhook_actions.create(
        context.accounts, url, pepper=context.store.pepper, events=events, description=description, **context.who
    )
    document = {**_document(made.webhook), "secret": made.secret}
    return Answer(document, fields(document), hint=ONCE)


@webhooks.command("events", examples=("flask webhooks events",))
def events_() -> Answer:
    """List the types of events."""
    documents: list[dict[str, object]] = [{"type": name, "raised_when": text} for name, text in EVENT_TYPES.items()]
    return Answer(documents, table(("type", "raised_when"), documents, empty=""))


@webhooks.command("list", examples=("flask webhooks list", "flask webhooks list --json"))
def list_() -> Answer:
    """List all webhooks, with how much is on its way and how much was given up."""
    reads = command_context().store.webhooks
    counts = reads.counts()
    documents = [_document(each, counts.get(each.id, DeliveryCounts())) for each in reads.all()]
    empty = "There are none; `flask webhooks create` makes one."
    return Answer(documents, table(("id", "url", "events", "disabled", "pending", "dead"), documents, empty=empty))


@webhooks.command("show", examples=(f"flask webhooks show {_EXAMPLE}",))
@click.argument("webhook_id")
def show(webhook_id: str) -> Answer:
    """Show one webhook."""
    reads = command_context().store.webhooks
    document = _document(reads.find(webhook_id), reads.counts().get(webhook_id, DeliveryCounts()))
    return Answer(document, fields(document))


@webhooks.command(
    "edit",
    examples=(
        f"flask webhooks edit {_EXAMPLE} --url https://hooks.example.com/v2",
        f"flask webhooks edit {_EXAMPLE} --event secret.leaked",
        f"flask webhooks edit {_EXAMPLE} --all-events",
    ),
)
@click.argument("webhook_id")
@click.option("--url", help="Where it is sent.")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(tuple(EVENT_TYPES)), help="A type it takes, and no others."
)
@click.option("--all-events", is_flag=True, help="It takes every type.")
@click.option("--description", help="What people call it.")
def edit(
    webhook_id: str, *, url: str | None, events: tuple[str, ...], all_events: bool, description: str | None
) -> Answer:
    """Change where it is sent, what is sent, or what it is called."""
    if events and all_events:
        msg = "give --event or --all-events, not both"
        raise click.UsageError(msg)
    context = command_context()
    wanted = events if events or all_events else None
    webhook = webhook_actions.edit(
        context.accounts, webhook_id, url=url, events=wanted, description=description, **context.who
    )
    return Answer(_document(webhook), line("Saved."))


@webhooks.command(
    "rotate", examples=(f"flask webhooks rotate {_EXAMPLE} --json", f"flask webhooks rotate {_EXAMPLE} --overlap 7d")
)
@click.argument("webhook_id")
@click.option(
    "--overlap", type=OVERLAP, default="24h", show_default=True, help="How long the old secret signs as well."
)
def rotate(webhook_id: str, overlap: int) -> Answer:
    """Make a new secret; while both overlap, deliveries have a signature by each."""
    context = command_context()
    made = webhook_actions.rotate(context.accounts, webhook_id, overlap, pepper=context.store.pepper, **context.who)
    document = {
        "id": webhook_id,
        "secret": made.secret,
        "old_secret_ends_at": iso_or_none(made.webhook.old_ends_at),
    }
    return Answer(document, fields(document), hint=ONCE)


@webhooks.command("disable", examples=(f"flask webhooks disable {_EXAMPLE}",))
@click.argument("webhook_id")
def disable(webhook_id: str) -> Answer:
    """Send nothing any more; what is on its way waits."""
    context = command_context()
    webhook = webhook_actions.disable(context.accounts, webhook_id, **context.who)
    return Answer(_document(webhook), line("It is disabled."))


@webhooks.command("enable", examples=(f"flask webhooks enable {_EXAMPLE}",))
@click.argument("webhook_id")
def enable(webhook_id: str) -> Answer:
    """Send again, first what waits."""
    context = command_context()
    webhook = webhook_actions.enable(context.accounts, webhook_id, **context.who)
    return Answer(_document(webhook), line("It is enabled."))


@webhooks.command("delete", examples=(f"flask webhooks delete {_EXAMPLE}",))
@click.argument("webhook_id")
def delete(webhook_id: str) -> Answer:
    """Delete a webhook with its deliveries; what is on its way is not sent any more."""
    context = command_context()
    webhook_actions.delete(context.accounts, webhook_id, **context.who)
    return Answer({"id": webhook_id, "deleted": True}, line("It is deleted."))


@webhooks.command("test", examples=(f"flask webhooks test {_EXAMPLE}",))
@click.argument("webhook_id")
def test(webhook_id: str) -> Answer:
    """Let a running server send a `webhook.test` event to it, and to no other."""
    context = command_context()
    webhook_actions.test(context.accounts, webhook_id, **context.who)
    hint = f"`flask webhooks deliveries {webhook_id}` shows what became of it."
    return Answer({"id": webhook_id, "raised": "webhook.test"}, line("It is on its way."), hint=hint)


@webhooks.command(
    "deliveries",
    examples=(
        f"flask webhooks deliveries {_EXAMPLE}",
        f"flask webhooks deliveries {_EXAMPLE} --state dead --json",
        f"flask webhooks deliveries {_EXAMPLE} --event {_EVENT}",
    ),
)
@click.argument("webhook_id")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--event", "event_id", metavar="ID", help="One delivery, with its data and its attempts.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
def deliveries(webhook_id: str, *, state: str | None, event_id: str | None, limit: int) -> Answer:
    """List the deliveries of a webhook, the newest first, or show one; what is over is kept for 30 days."""
    reads = command_context().store.webhooks
    if event_id is not None:
        delivery, attempts = reads.delivery(webhook_id, event_id)
        log: list[dict[str, object]] = [
            {
                "number": each.number,
                "at": iso(each.at),
                "status": each.status,
                "milliseconds": each.milliseconds,
                "error": each.error,
            }
            for each in attempts
        ]
        one = {**_delivery_document(delivery), "data": json.loads(delivery.data)}
        columns = ("number", "at", "status", "milliseconds", "error")
        return Answer({**one, "log": log}, [*fields(one), *line(""), *table(columns, log, empty="No attempt yet.")])
    reads.find(webhook_id)
    documents = [_delivery_document(each) for each in reads.deliveries(webhook_id, limit, state=state or "")]
    shown = ("id", "type", "at", "state", "attempts", "last_status", "last_error")
    return Answer(documents, table(shown, documents, empty="There are none."))


@webhooks.command(
    "replay",
    examples=(f"flask webhooks replay {_EXAMPLE} --event {_EVENT}", f"flask webhooks replay {_EXAMPLE} --dead"),
)
@click.argument("webhook_id")
@click.option("--event", "event_id", metavar="ID", help="One delivery.")
@click.option("--dead", is_flag=True, help="All that were given up.")
def replay(webhook_id: str, *, event_id: str | None, dead: bool) -> Answer:
    """Send events again, with the same `webhook-id`."""
    if (event_id is None) == (not dead):
        msg = "give --event or --dead, one of them"
        raise click.UsageError(msg)
    context = command_context()
    if event_id is not None:
        webhook_actions.replay(context.accounts, webhook_id, event_id, **context.who)
        number = 1
    else:
        number = webhook_actions.replay_dead(context.accounts, webhook_id, **context.who)
    return Answer({"id": webhook_id, "deliveries": number}, line(f"{number} on the way again."))
