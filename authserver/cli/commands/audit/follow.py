"""``flask audit follow``: feeds a SIEM, by standard output or syslog, at least once."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from authserver.audit import Record
from authserver.audit_export.siem import FORMATS
from authserver.audit_export.syslog_sink import SyslogSink, collector
from authserver.cli.command import Answer
from authserver.cli.commands.audit.records import audit
from authserver.cli.context import CommandContext, command_context
from authserver.ports.errors import Invalid, Unavailable

_LONGEST_WAIT: Final = 60.0
"""Seconds between two attempts, where the database or the collector cannot be reached for long."""

_AT_ONCE: Final = 1000
"""Records that are read, sent and then noted in the file of ``--state``."""

_MAX_DIGITS: Final = 20

Send = Callable[[Record], None]


@audit.command(
    "follow",
    examples=(
        "flask audit follow --format cef --state /var/lib/authserver/siem",
        "flask audit follow --format ocsf --syslog tls://siem.example.com --state /var/lib/authserver/siem",
        "flask audit follow --once --after 1200 > new.jsonl",
    ),
)
@click.option(
    "--format", "form", type=click.Choice(tuple(FORMATS)), default="jsonl", show_default=True, help="Of each line."
)
@click.option("--after", type=click.IntRange(min=0), help="Begin behind this record; without it: with the next one.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the number of the last record that was sent; goes on behind it.",
)
@click.option("--syslog", metavar="URL", help="Send to udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT instead.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="Certificates that tls:// trusts.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="End when everything that is on record was sent.")
def follow(
    *, form: str, after: int | None, state: Path | None, syslog: str | None, ca: str | None, every: float, once: bool
) -> Answer:
    """Hand each new record to a SIEM, in the order of the chain, until it is told to stop.

    After a failure it goes on with the record that was not taken: each arrives at least once.
    """
    if ca is not None and not (syslog or "").startswith("tls://"):
        msg = "--ca goes with a collector at tls://."
        raise click.UsageError(msg)
    context = command_context()
    sink = SyslogSink(collector(syslog, ca)) if syslog is not None else None
    text_of = FORMATS[form]

    def send(record: Record) -> None:
        if sink is None:
            click.echo(text_of(record), nl=False)
        else:
            sink.send(record, text_of(record))

    position = Position(state, _begin(context, after, state, once=once))
    try:
        _follow(context, send, position, every=every, once=once)
    finally:
        if sink is not None:
            sink.close()
    return Answer({}, streamed=True)


@dataclass(slots=True)
class Position:
    """The number of the last record that was sent, and the file that remembers it."""

    file: Path | None
    seq: int

    def write(self) -> None:
        """Remember it, durably: after a crash nothing is left out."""
        if self.file is None:
            return
        fresh = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{self.seq}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.file)


def _begin(context: CommandContext, after: int | None, state: Path | None, *, once: bool) -> int:
    if state is not None and state.exists():
        text = state.read_bytes()[:_MAX_DIGITS].strip()
        if not text.isdigit():
            msg = f"{state} holds no number of a record; remove it, and say --after"
            raise Invalid(msg)
        return int(text)
    if after is not None or once:
        return after or 0
    return max((record.seq for record in context.accounts.audit_newest(1)), default=0)


def _follow(context: CommandContext, send: Send, position: Position, *, every: float, once: bool) -> None:
    wait = every
    while True:
        try:
            sent = _send_part(context, send, position)
            wait = every
        except Unavailable as error:
            if once:
                raise
            if wait == every:
                click.echo(f"Error: {error}; trying again", err=True)
            wait = min(wait * 2, max(every, _LONGEST_WAIT))
        else:
            if sent == _AT_ONCE:
                continue
            if once:
                return
        time.sleep(wait)


def _send_part(context: CommandContext, send: Send, position: Position) -> int:
    """Send what is behind the position, a part of it; how many."""
    sent = 0
    try:
        for record in context.accounts.audit_records(position.seq, limit=_AT_ONCE):
            send(record)
            position.seq, sent = record.seq, sent + 1
    finally:
        if sent:
            position.write()
    return sent
