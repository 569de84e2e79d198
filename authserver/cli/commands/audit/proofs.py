"""``flask audit``: signed checkpoints, and what is done with an export on any machine."""

import json
from typing import Any, Final

import click

from authserver.audit_export import checkpoints as checkpoint_actions
from authserver.audit_export.holdings import document, rebuild
from authserver.audit_export.lines import read
from authserver.cli.command import Answer
from authserver.cli.commands.audit.records import FILE_IN, audit
from authserver.cli.context import command_context
from authserver.cli.durations import INSTANT
from authserver.cli.output import HumanText, iso, line, table
from authserver.ports.console_reads.audit_checkpoints import Checkpoint
from authserver.ports.errors import Conflict
from authserver.rules.facts import Instant

_PAGE: Final = 10_000


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, object]:
    """A checkpoint as the command line and the management API show it."""
    return {
        "number": checkpoint.number,
        "at": iso(checkpoint.at),
        "records": checkpoint.seq,
        "kid": checkpoint.kid,
        "jws": checkpoint.jws,
    }


@audit.command("checkpoint", examples=("flask audit checkpoint", "flask audit checkpoint --json"))
def checkpoint() -> Answer:
    """Take a signed checkpoint now; a serving process takes one each hour by itself."""
    context = command_context()
    made = checkpoint_actions.take(
        context.store.checkpoints, context.services.sign_checkpoint, issuer=context.services.issuer, now=context.now
    )
    if made is None:
        msg = "another process has just taken one; `flask audit checkpoints` shows it"
        raise Conflict(msg)
    return Answer(checkpoint_document(made), line(f"Checkpoint {made.number} covers {made.seq} records."))


@audit.command(
    "checkpoints",
    examples=("flask audit checkpoints", "flask audit checkpoints --after 700 --json > checkpoints.json"),
)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Behind this number.")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=_PAGE, show_default=True, help="How many at most.")
def checkpoints(after: int, limit: int) -> Answer:
    """List the signed checkpoints, the oldest first; kept elsewhere they prove that no record was cut off."""
    documents = [checkpoint_document(each) for each in command_context().store.checkpoints.after(after, limit)]
    return Answer(documents, table(("number", "at", "records", "kid"), documents, empty="There are none yet."))


@audit.command("jwks", examples=("flask audit jwks --json > jwks.json",))
def jwks() -> Answer:
    """Print the public keys that checkpoints are verified with, also of keys that sign no more; keep them, too."""
    found = checkpoint_actions.public_keys(command_context().store.keys.ring())
    return Answer(found, line(json.dumps(found)))


@audit.command(
    "holdings",
    examples=(
        "flask audit holdings audit.jsonl --at 2027-01-15T08:00:00Z",
        "flask audit holdings audit.csv --json",
    ),
)
@click.argument("export", type=FILE_IN)
@click.option("--at", type=INSTANT, help="The instant that is asked for; without it: the end of the export.")
def holdings(export: str, at: Instant | None) -> Answer:
    """Tell from an export alone who held which role, credential and key at an instant; needs no database.

    The export is the whole trail, from its first record on.
    """
    with click.open_file(export, "rb") as file:
        found = document(rebuild(read(file), at), at)
    return Answer(found, _people(found))


def _people(found: dict[str, Any]) -> HumanText:
    return [
        *table(("username", "roles", "role_version", "disabled"), found["users"], empty="No users."),
        *table(
            ("client_id", "name", "owner", "roles", "secrets", "keys", "disabled"),
            [
                {**each, "secrets": _working(each["secrets"]), "keys": _working(each["keys"])}
                for each in found["credentials"]
            ],
            empty="No credentials.",
        ),
        *table(("name", "audience", "disabled"), found["resource_servers"], empty="No resource servers."),
        *table(("kid", "alg", "state"), found["signing_keys"], empty="No signing keys."),
    ]


def _working(proofs: list[dict[str, Any]]) -> list[str]:
    return [str(each["id"] or "without id") for each in proofs if each["works"]]
