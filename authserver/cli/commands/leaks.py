"""``flask leaks``: whose reports of leaked secrets are believed."""

import json
from pathlib import Path

import click

from authserver.actions.events import leaks as leak_actions
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, line, table
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.events.leaks import LeakReporter

leaks = Noun("leaks", help="Whose reports of leaked secrets, sent to POST /leaks, are believed.")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_BYTES = 64 * 1024


def _document(reporter: LeakReporter) -> dict[str, object]:
    return {"identifier": reporter.identifier, "name": reporter.name, "created_at": iso(reporter.created_at)}


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")


@leaks.command("list", examples=("flask leaks list", "flask leaks list --json"))
def list_() -> Answer:
    """List the keys whose reports are believed."""
    documents = [_document(each) for each in command_context().store.leaks.reporters()]
    empty = "There are none, so every report is refused; `flask leaks add` or `flask leaks import` names one."
    return Answer(documents, table(("identifier", "name", "created_at"), documents, empty=empty))


@leaks.command("add", examples=("flask leaks add our-scanner --name 'Our scanner' --key-file scanner.pub.pem",))
@click.argument("identifier")
@click.option("--name", required=True, help="What people call the reporter.")
@click.option("--key-file", required=True, type=_FILE, help="Its public key of P-256, as PEM.")
def add(identifier: str, name: str, key_file: Path) -> Answer:
    """Believe reports that are signed by a key; IDENTIFIER is what its reports name it by."""
    context = command_context()
    reporter = leak_actions.add_reporter(context.accounts, identifier, name, _read(key_file), **context.who)
    return Answer(_document(reporter), fields(_document(reporter)))


@leaks.command("import", examples=("flask leaks import secret_scanning.json --name GitHub",))
@click.argument("file", type=_FILE)
@click.option("--name", required=True, help="What people call the reporter.")
def import_(file: Path, name: str) -> Answer:
    """Believe all keys of a document as https://api.github.com/meta/public_keys/secret_scanning answers it.

    Keys that are known already are left as they are.
    """
    context = command_context()
    try:
        listed = json.loads(_read(file))["public_keys"]
        pairs = [(str(each["key_identifier"]), str(each["key"])) for each in listed]
    except (ValueError, KeyError, TypeError):
        msg = "the file is no document with public_keys, each with key_identifier and key"
        raise Invalid(msg) from None
    documents: list[dict[str, object]] = []
    for identifier, key in pairs:
        try:
            documents.append(
                _document(leak_actions.add_reporter(context.accounts, identifier, name, key, **context.who))
            )
        except Conflict:
            continue
    return Answer(documents, table(("identifier", "name"), documents, empty="All of its keys are known already."))


@leaks.command("remove", examples=("flask leaks remove our-scanner",))
@click.argument("identifier")
def remove(identifier: str) -> Answer:
    """Believe reports by a key no more."""
    context = command_context()
    leak_actions.remove_reporter(context.accounts, identifier, **context.who)
    return Answer({"identifier": identifier, "removed": True}, line("Its reports are refused from now on."))
