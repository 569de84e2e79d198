"""The shell's door: ``flask <noun> <verb>``; thin commands over the verbs.

One file a noun. Each command turns arguments into plain values, calls one verb
and returns an ``Answer``; ``command`` prints it, as JSON or for people, and turns
refusals into a sentence and an exit code. Laws of the room:

- data goes to stdout, everything else to stderr; with ``--json`` stdout holds exactly one JSON document;
- a secret is never an argument, and is shown only by the command that made it;
- nothing asks a question unless a person sits at a terminal;
- every change is one audited transaction by ``cli:<user of this machine>``.

``here`` says what commands need of the services; ``reference`` writes the command
reference in ``docs/cli.md``.
"""

from flask import Flask

from authserver.cli.command import Nouns
from authserver.cli.commands.audit import audit
from authserver.cli.commands.credentials import credentials
from authserver.cli.commands.database import db
from authserver.cli.commands.doctor import doctor
from authserver.cli.commands.keys import keys
from authserver.cli.commands.resource_servers import resource_servers
from authserver.cli.commands.roles import roles
from authserver.cli.commands.sessions import sessions
from authserver.cli.commands.settings import settings
from authserver.cli.commands.users import users
from authserver.cli.context import Maintenance
from authserver.cli.startup_errors import one_sentence

NOUNS = (users, roles, resource_servers, credentials, keys, settings, audit, sessions, db, doctor)


def register(app: Flask, upkeep: Maintenance) -> None:
    """Hang the commands on ``app``."""
    app.extensions["upkeep"] = upkeep
    app.cli = Nouns(app.name, {**app.cli.commands, **{noun.name or "": noun for noun in NOUNS}})


__all__ = ["NOUNS", "one_sentence", "register"]
