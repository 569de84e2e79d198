"""``flask audit``: the chain of administrative changes."""

import json
from collections.abc import Iterator

import click

from authserver.audit import Record
from authserver.audit_export.lines import FORMATS, lines
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import iso, line, table

audit = Noun("audit", help="What was changed, when and by whom; each record is chained to the one before.")

_MAX_RECORDS = 10_000
_FILE_OUT = click.Path(dir_okay=False, allow_dash=True)


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


@audit.command(
    "export",
    examples=(
        "flask audit export --output audit.jsonl",
        "flask audit export --after 120000 --format csv --output audit.csv --json",
        "flask audit export > audit.jsonl",
    ),
)
@click.option("--output", type=_FILE_OUT, default="-", help="Where to; standard output without it.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True, help="Of the lines.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Begin behind this record.")
def export(output: str, form: str, after: int) -> Answer:
    """Write records in their order in the chain, with its hashes; of any number, in the memory of one part."""
    number, last = 0, after

    def counted() -> Iterator[Record]:
        nonlocal number, last
        for record in command_context().accounts.audit_records(after):
            number, last = number + 1, record.seq
            yield record

    with click.open_file(output, "wb") as file:
        file.writelines(lines(counted(), form))
        file.flush()
    document = {"records": number, "after": after, "last": last}
    return Answer(document, line(f"{number} records, up to number {last}."), streamed=output == "-")


@audit.command("verify", examples=("flask audit verify", "flask audit verify --json"))
def verify() -> Answer:
    """Walk the whole chain; the first record that does not hold is named, and the exit code is 1."""
    verdict = command_context().accounts.audit_verify()
    ok = not verdict.fault
    document = {"ok": ok, "records": verdict.records, "first_bad": verdict.first_bad, "fault": verdict.fault or None}
    success = line(f"{verdict.records} records hold.")
    return Answer(document, success, fault="" if ok else f"audit record {verdict.first_bad}: {verdict.fault}")
