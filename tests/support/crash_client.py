"""Changes things through the verbs and tells each acknowledgement on a line, until it is killed."""

import json
import os

from app import create_app
from authserver.actions import credentials
from authserver.actions import users as user_actions
from authserver.config import Config
from tests.support.processes import PROCESSES

MADE = "made in passing"
KEPT = 10
"""How many of the credentials of earlier actors stay: a user may have no more than fifty."""


def start(database, key, issuer):
    """A process at work, and the file its acknowledgements are read from."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=act, args=(database, key, issuer, theirs))
    process.start()
    theirs.close()
    return process, os.fdopen(os.dup(ours.fileno()), "rb", buffering=0)


def act(database, key, issuer, out):
    settings = Config(database_url=database, master_key=key, issuer=issuer)
    services = create_app(settings, background=False).extensions["services"]
    store = services.store()

    def told(kind, **facts):
        os.write(out.fileno(), (json.dumps({"kind": kind, **facts}) + "\n").encode())

    def delete(client, who):
        told("deleting", client=client)  # killed behind this, nobody knows
        credentials.delete(store.accounts, client, **who)
        told("deleted", client=client)

    who = {"actor": "crash", "now": services.clock.now()}
    left = [each.client_id for each in store.accounts.credentials(store.accounts.user("bob").id) if each.name == MADE]
    for client in left[:-KEPT]:
        delete(client, who)
    while True:
        who = {"actor": "crash", "now": services.clock.now()}
        held = "writer" in store.accounts.user("ada").role_names
        version = (user_actions.revoke if held else user_actions.grant)(store.accounts, "ada", "writer", **who)
        told("roles", version=version, writer=not held)
        made = credentials.create(
            store.accounts, "bob", MADE, who["now"] + 86400, ["reader"], pepper=store.pepper, **who
        )
        told("created", client=made.credential.client_id, secret=made.secret)
        if version % 3:
            delete(made.credential.client_id, who)
