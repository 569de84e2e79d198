"""``flask audit``: the chain of administrative changes."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from authserver.audit import Record
from authserver.audit_export.lines import FORMATS, lines, read
from authserver.audit_export.offline import MAX_BYTES, OfflineVerdict, read_checkpoints, verify_export
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import iso, line, table
from authserver.ports.console_reads.audit_checkpoints import Checkpoint
from authserver.ports.errors import Invalid

audit = Noun("audit", help="What was changed, when and by whom; each record is chained to the one before.")

_MAX_RECORDS = 10_000
FILE_IN = click.Path(exists=True, dir_okay=False, allow_dash=True)
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


@audit.command(
    "verify",
    examples=(
        "flask audit verify",
        "flask audit verify --json",
        "flask audit verify --offline audit.jsonl --checkpoint checkpoints.json --jwks jwks.json",
    ),
)
@click.option("--offline", type=FILE_IN, metavar="EXPORT", help="Verify an export instead; needs no database.")
@click.option("--checkpoint", "checkpoint_file", type=FILE_IN, help="Checkpoints that were kept, with --offline.")
@click.option("--jwks", "jwks_file", type=FILE_IN, help="JWK set that was kept with them.")
def verify(offline: str | None, checkpoint_file: str | None, jwks_file: str | None) -> Answer:
    """Walk the whole chain; the first record that does not hold is named, and the exit code is 1.

    With --offline it walks an export, on any machine; with --checkpoint it also proves what the records say, and that
    none was cut off.
    """
    if (checkpoint_file is None) != (jwks_file is None) or (offline is None and checkpoint_file is not None):
        msg = "--checkpoint and --jwks go together, with --offline."
        raise click.UsageError(msg)
    if offline is not None:
        return verify_offline(offline, checkpoint_file, jwks_file)
    verdict = command_context().accounts.audit_verify()
    ok = not verdict.fault
    document = {"ok": ok, "records": verdict.records, "first_bad": verdict.first_bad, "fault": verdict.fault or None}
    success = line(f"{verdict.records} records hold.")
    return Answer(document, success, fault="" if ok else f"audit record {verdict.first_bad}: {verdict.fault}")


def verify_offline(export: str, checkpoint_file: str | None, jwks_file: str | None) -> Answer:
    """The part of ``flask audit verify`` that needs no database."""
    known: tuple[Checkpoint, ...] = ()
    if checkpoint_file is not None and jwks_file is not None:
        known = read_checkpoints(_text(checkpoint_file), _text(jwks_file))
    with click.open_file(export, "rb") as file:
        verdict = verify_export(read(file), known)
    document = {"ok": not verdict.fault, **asdict(verdict), "fault": verdict.fault or None}
    fault = f"audit record {verdict.first_bad}: {verdict.fault}" if verdict.fault else ""
    return Answer(document, line(_summary(verdict)), fault=fault)


def _summary(verdict: OfflineVerdict) -> str:
    if not verdict.checkpoints:
        return f"{verdict.records} records follow each other; --checkpoint proves what they say."
    behind = verdict.last - verdict.proven
    return f"{verdict.records} records follow each other; checkpoints prove those up to {verdict.proven}" + (
        f", and the {behind} behind are newer." if behind else "."
    )


def _text(path: str) -> str:
    with click.open_file(path, "rb") as file:
        raw: bytes = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        msg = f"{Path(path).name} is too long for what it shall be"
        raise Invalid(msg)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        msg = f"{Path(path).name} is not UTF-8"
        raise Invalid(msg) from None
