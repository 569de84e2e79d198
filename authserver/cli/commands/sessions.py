"""``flask sessions``: the tokens of a credential. Looking at them is not use."""

import click

from authserver.actions import sessions as session_actions
from authserver.actions.sessions import InspectedSession
from authserver.cli.arguments import CLIENT
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.rules.facts import Reason

sessions = Noun("sessions", help="The server's record of each token: when it was last used, when and why it ended.")


def _document(inspected: InspectedSession) -> dict[str, object]:
    session = inspected.session
    return {
        "jti": session.jti,
        "client_id": session.client_id,
        "audience": session.audience,
        "roles": list(session.roles),
        "state": "live" if inspected.live else "ended",
        "issued_at": iso(session.issued_at),
        "last_used_at": iso(session.last_used_at),
        "idle_ends_at": iso_or_none(inspected.idle_ends_at) if inspected.live else None,
        "expires_at": iso(session.expires_at),
        "ended_at": iso_or_none(inspected.ended_at),
        "end_reason": inspected.end_reason,
    }


@sessions.command(
    "list",
    examples=(
        "flask sessions list 3b241101-e2bb-4255-8caf-4136c566a962",
        "flask sessions list 3b241101-e2bb-4255-8caf-4136c566a962 --live --json",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.option("--live", is_flag=True, help="Only those that are not over.")
def list_(client_id: str, *, live: bool) -> Answer:
    """List the sessions of a credential, newest first, with how each one ended."""
    context = command_context()
    inspected = session_actions.inspect_sessions(
        context.accounts, context.store.sessions, context.store.hot_path, client_id
    )
    documents = [_document(each) for each in inspected if each.live or not live]
    columns = ("jti", "state", "issued_at", "last_used_at", "idle_ends_at", "end_reason", "ended_at", "audience")
    return Answer(documents, table(columns, documents, empty="There are none."))


@sessions.command(
    "explain",
    dash_ids=True,
    examples=("flask sessions explain 7yVVmXlmCRf4OyYVTiqXhQ", "flask sessions explain 7yVVmXlmCRf4OyYVTiqXhQ --json"),
)
@click.argument("jti")
def explain(jti: str) -> Answer:
    """Tell when and why a token ended, what happened around it, and what would have kept it alive."""
    context = command_context()
    found = session_actions.explain(
        context.accounts, context.store.sessions, context.store.hot_path, context.store.audit_reads, jti
    )
    events: list[dict[str, object]] = [
        {"at": iso(each.at), "event": each.event, "actor": each.actor, "target": each.target} for each in found.events
    ]
    document = {
        **_document(found.inspected),
        "credential": found.credential,
        "owner": found.owner,
        "kept_alive_by": found.kept_alive or None,
    }
    parts = {name: value for name, value in document.items() if name != "roles"}
    columns = ("at", "event", "actor", "target")
    around = [*line(""), *table(columns, events, empty="Nothing is on record around its end.")]
    return Answer({**document, "events": events}, [*fields(parts), *([] if found.inspected.live else around)])


@sessions.command("end", dash_ids=True, examples=("flask sessions end 7yVVmXlmCRf4OyYVTiqXhQ",))
@click.argument("jti")
def end(jti: str) -> Answer:
    """End one session for good; the credential's others live on."""
    context = command_context()
    session_actions.end(context.accounts, jti, Reason.ENDED_BY_OPERATOR, **context.who)
    document = {"jti": jti, "ended_at": iso(context.now), "end_reason": Reason.ENDED_BY_OPERATOR.value}
    return Answer(document, line("The session is over."))


@sessions.command("end-all", examples=("flask sessions end-all 3b241101-e2bb-4255-8caf-4136c566a962",))
@click.argument("client_id", type=CLIENT)
def end_all(client_id: str) -> Answer:
    """End every session of a credential; it may ask for new tokens at once."""
    context = command_context()
    _, ended = session_actions.end_all(context.accounts, client_id, Reason.ENDED_BY_OPERATOR, **context.who)
    return Answer({"client_id": client_id, "ended": ended}, line(f"All sessions are over; {ended} were on record."))
