"""``flask resource-servers streams``: who gets security events, how far each stream is, and switching it."""

import click

from authserver.actions.shared_signals import streams as stream_actions
from authserver.cli.arguments import RESOURCE_SERVER
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from authserver.ports.errors import NotFound
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.shared_signals.streams import PUSH, EventStream
from authserver.rules.shared_signals.events import EVENT_TYPES
from authserver.rules.shared_signals.progress import STATUSES

event_streams = Noun("streams", help="Streams of security events (Shared Signals) that an API made for itself.")

_COLUMNS = ("id", "delivery", "status", "behind", "delivered", "delivered_at", "failures", "last_error")
_EXAMPLE = "0f4c1d2e3b5a697887960a1b"


def _document(stream: EventStream, newest: int) -> dict[str, object]:
    return {
        "id": stream.id,
        "delivery": "push" if stream.method == PUSH else "poll",
        "endpoint_url": stream.endpoint_url or None,
        "events": [each.rsplit("/", 1)[-1] for each in stream_actions.events_delivered(stream, EVENT_TYPES)],
        "status": stream.status,
        "reason": stream.reason or None,
        "behind": max(0, newest - stream.progress.cursor),
        "delivered": stream.delivered,
        "delivered_at": iso_or_none(stream.delivered_at),
        "failures": stream.failures,
        "last_error": stream.last_error or None,
        "last_error_at": iso_or_none(stream.last_error_at),
        "created_at": iso(stream.created_at),
    }


def _server(name: str) -> ResourceServer:
    for server in command_context().accounts.resource_servers():
        if name in {server.name, server.client_id, server.audience}:
            return server
    msg = f"there is no resource server {name!r}; `flask resource-servers list` shows them"
    raise NotFound(msg)


@event_streams.command("list", examples=("flask resource-servers streams list Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def list_streams(name: str) -> Answer:
    """List the streams of an API: how many entries each is behind, and what its receiver refused last."""
    context = command_context()
    newest = context.store.event_streams.newest()
    found = context.store.event_streams.of_server(_server(name).id)
    documents = [_document(stream, newest) for stream in found]
    return Answer(documents, table(_COLUMNS, documents, empty="It has no stream; its receiver makes one."))


@event_streams.command(
    "set-status",
    examples=(
        f"flask resource-servers streams set-status Reports {_EXAMPLE} paused --reason 'Maintenance until noon'",
        f"flask resource-servers streams set-status Reports {_EXAMPLE} enabled",
    ),
)
@click.argument("name", type=RESOURCE_SERVER)
@click.argument("stream_id", metavar="STREAM")
@click.argument("status", type=click.Choice(STATUSES))
@click.option("--reason", default="", help="One line, which the receiver is told.")
def set_status(name: str, stream_id: str, status: str, reason: str) -> Answer:
    """Enable, pause or disable a stream; its receiver is told. What ends while it is disabled is never sent."""
    context = command_context()
    stream = stream_actions.set_status(
        context.store.event_streams, _server(name).id, stream_id, status, reason, by_receiver=False, **context.who
    )
    document = _document(stream, context.store.event_streams.newest())
    return Answer(document, fields(document))


@event_streams.command("delete", examples=(f"flask resource-servers streams delete Reports {_EXAMPLE} --yes",))
@click.argument("name", type=RESOURCE_SERVER)
@click.argument("stream_id", metavar="STREAM")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, stream_id: str, *, yes: bool) -> Answer:
    """Delete a stream; its receiver gets no more events and is not told."""
    confirm(f"Delete the stream {stream_id} of {name}?", yes=yes)
    context = command_context()
    stream_actions.find(context.store.event_streams, _server(name).id, stream_id)
    context.store.event_streams.delete(stream_id, **context.who)
    return Answer({"id": stream_id, "deleted": True}, line("It is deleted."))
