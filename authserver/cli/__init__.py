"""The command line: ``flask <noun> <verb>``; thin commands over the actions.

A command turns arguments into plain values, calls one action and returns an ``Answer``, which is printed as JSON or for
people; a refusal becomes a sentence and an exit code. Rules of the package:

- data goes to stdout, everything else to stderr; with ``--json`` stdout holds exactly one JSON document;
- a secret is never an argument, and is shown only by the command that made it;
- nothing prompts unless a person sits at a terminal;
- every change is one audited transaction by ``cli:<user of this machine>``.

``commands/`` has one module a noun. ``command``: options, prompts, exit codes. ``context``: what a command needs of the
services. ``arguments``, ``durations``: how values are parsed. ``output``, ``terminal``: how answers are printed.
``startup_errors``: one sentence where the application cannot be built. ``compromise_drill``: the key drill.
``reference``: writes ``docs/cli.md``.
"""

from flask import Flask

from authserver.cli.command import Nouns
from authserver.cli.commands.audit import audit
from authserver.cli.commands.credentials import credentials
from authserver.cli.commands.database import db
from authserver.cli.commands.doctor import doctor
from authserver.cli.commands.keys import keys
from authserver.cli.commands.leaks import leaks
from authserver.cli.commands.resource_servers import resource_servers
from authserver.cli.commands.roles import roles
from authserver.cli.commands.sessions import sessions
from authserver.cli.commands.settings import settings
from authserver.cli.commands.state import apply, export
from authserver.cli.commands.users import users
from authserver.cli.commands.webhooks import webhooks
from authserver.cli.context import Maintenance
from authserver.cli.startup_errors import one_sentence

NOUNS = (
    users,
    roles,
    resource_servers,
    credentials,
    keys,
    settings,
    audit,
    sessions,
    webhooks,
    leaks,
    apply,
    export,
    db,
    doctor,
)


def register(app: Flask, maintenance: Maintenance) -> None:
    """Add the commands to ``app``, and ``maintenance`` to its extensions."""
    app.extensions["maintenance"] = maintenance
    app.cli = Nouns(app.name, {**app.cli.commands, **{noun.name or "": noun for noun in NOUNS}})


__all__ = ["NOUNS", "one_sentence", "register"]
