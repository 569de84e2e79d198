"""``flask audit``: the chain of administrative changes."""

import json

import click

from authserver.audit import Record
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import iso, line, table

audit = Noun("audit", help="What was changed, when and by whom; each record is chained to the one before.")

_MAX_RECORDS = 10_000


def _document(record: Record) -> dict[str, object]:
    return {
        "seq": record.seq,
        "at": iso(record.at),
        "actor": record.actor,
        "event": record.event,
        "target": record.target,
        "detail": json.loads(record.detail),
        "hash": record.hash,
    }


@audit.command(
    "list",
    examples=(
        "flask audit list",
        "flask audit list --event user.role_revoked --limit 20 --json",
        "flask audit list --after 100 --limit 50 --json",
    ),
)
@click.option("--after", type=click.IntRange(min=0), help="Go on behind this record, oldest first; else the newest.")
@click.option("--limit", type=click.IntRange(1, _MAX_RECORDS), default=50, show_default=True, help="How many at most.")
@click.option("--event", help="Only this event, such as user.role_revoked.")
@click.option("--actor", help="Only by this actor, such as cli:root.")
@click.option("--target", help="Only about this target, such as a client id.")
def list_(after: int | None, limit: int, event: str | None, actor: str | None, target: str | None) -> Answer:
    """List records in their order: the newest, or those behind --after."""
    accounts = command_context().accounts
    only = {name: value for name, value in (("event", event), ("actor", actor), ("target", target)) if value}
    records = accounts.audit_newest(limit, **only) if after is None else accounts.audit_records(after, limit, **only)
    documents = [_document(record) for record in records]
    rows = [{**each, "detail": json.dumps(each["detail"], ensure_ascii=False)} for each in documents]
    columns = ("seq", "at", "actor", "event", "target", "detail")
    return Answer(documents, table(columns, rows, empty="There are none."))


@audit.command("verify", examples=("flask audit verify", "flask audit verify --json"))
def verify() -> Answer:
    """Walk the whole chain; the first record that does not hold is named, and the exit code is 1."""
    verdict = command_context().accounts.audit_verify()
    ok = not verdict.fault
    document = {"ok": ok, "records": verdict.records, "first_bad": verdict.first_bad, "fault": verdict.fault or None}
    success = line(f"{verdict.records} records hold.")
    return Answer(document, success, fault="" if ok else f"audit record {verdict.first_bad}: {verdict.fault}")
