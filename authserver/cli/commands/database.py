"""``flask db``: the database itself: its schema, and copies of it."""

from pathlib import Path

import click

from authserver.actions import restore
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context, maintenance
from authserver.cli.output import fields, line, table
from authserver.cli.terminal import confirm

db = Noun("db", help="The database: bring its schema up to date, look at it, copy it.")


@db.command("upgrade", examples=("flask db upgrade", "flask db upgrade --json"))
@click.argument("revision", default="head")
def upgrade(revision: str) -> Answer:
    """Make the database or bring its schema up to date; `make run` does it by itself."""
    database = maintenance()
    before = database.schema().revision
    database.upgrade(revision)
    after = database.schema().revision
    sentence = f"The schema is {after} already." if before == after else f"The schema is {after} now."
    return Answer({"before": before, "revision": after}, line(sentence))


@db.command("downgrade", examples=("flask db downgrade 0001 --yes",))
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, *, yes: bool) -> Answer:
    """Take the schema back; what only the newer schema can hold is lost. Make a backup first."""
    confirm(f"Take the schema back to {revision} and lose what it cannot hold?", yes=yes)
    database = maintenance()
    before = database.schema().revision
    database.downgrade(revision)
    after = database.schema().revision
    return Answer({"before": before, "revision": after}, line(f"The schema is {after or 'gone'} now."))


@db.command("current", examples=("flask db current", "flask db current --json"))
def current() -> Answer:
    """Show where the database is and which schema it has."""
    database = maintenance()
    schema = database.schema()
    document = {
        "database": database.place,
        "revision": schema.revision,
        "head": schema.head,
        "state": schema.state,
    }
    return Answer(document, fields(document))


@db.command("history", examples=("flask db history",))
def history() -> Answer:
    """List all migrations, newest first, and which of them the database has."""
    documents = [
        {"revision": step.revision, "applied": step.applied, "title": step.title} for step in maintenance().history()
    ]
    return Answer(documents, table(("revision", "applied", "title"), documents, empty="There are none."))


@db.command("check", examples=("flask db check",))
def check() -> Answer:
    """Compare the database with the tables of this program; the exit code is 1 when they differ.

    A schema that is ahead was made by a newer program, which says that this one runs on it.
    """
    database = maintenance()
    schema = database.schema()
    differences = database.differences() if schema.state == "current" else ()
    ok = schema.state in {"current", "ahead"} and not differences
    document = {"ok": ok, "state": schema.state, "differences": list(differences)}
    fault = "" if ok else f"the schema is {schema.state}; `flask db upgrade` brings it up to date"
    if differences:
        fault = f"the database differs from the program's tables in {len(differences)} places"
    return Answer(document, line(f"The schema is {schema.state}." if ok else "\n".join(differences)), fault=fault)


@db.command("backup", examples=("flask db backup /var/backups/authserver.db",))
@click.argument("path", type=click.Path(path_type=Path))
def backup(path: Path) -> Answer:
    """Copy a SQLite database while the server runs: whole, checked and readable by this account only.

    The copy is worth nothing without the master key, so keep that too, elsewhere. PostgreSQL is copied by
    pg_dump; this command prints its line.
    """
    target = path.absolute()
    size = maintenance().backup(target)
    hint = "Keep the master key too, in another place: without it the copy cannot be used."
    return Answer({"path": str(target), "bytes": size}, line(f"{target} holds the copy, {size} bytes."), hint=hint)


@db.command("restored", examples=("flask db restored --yes",))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restored(*, yes: bool) -> Answer:
    """Say that this database came from a backup: every token issued before is dead.

    What was revoked after the backup is live again in it, so no older token can be trusted. Run this
    before the server starts on a restored database, and look through credentials and keys as well.
    """
    confirm("End every token that was ever issued?", yes=yes)
    context = command_context()
    general = restore.declare_restored(context.accounts, **context.who)
    return Answer({"epoch": general.epoch}, line("All tokens from before are dead; clients ask for new ones."))
