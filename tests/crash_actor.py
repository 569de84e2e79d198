"""Changes things through the verbs and tells each acknowledgement on a line, until it is killed."""

import json
import sys


def main():
    from app import create_app
    from authserver.actions import credentials, people
    from authserver.settings import Settings

    task = json.load(sys.stdin)
    settings = Settings(database_url=task["database"], master_key=task["key"], issuer=task["issuer"])
    house = create_app(settings, background=False).extensions["house"]
    store = house.store()

    def told(kind, **facts):
        sys.stdout.write(json.dumps({"kind": kind, **facts}) + "\n")
        sys.stdout.flush()

    while True:
        who = {"actor": "crash", "now": house.clock.now()}
        held = "writer" in store.accounts.user("ada").role_names
        version = (people.revoke if held else people.grant)(store.accounts, "ada", "writer", **who)
        told("roles", version=version, writer=not held)
        made = credentials.create(
            store.accounts, "bob", "bot", who["now"] + 86400, ["reader"], pepper=store.pepper, **who
        )
        told("created", client=made.credential.client_id, secret=made.secret)
        if version % 3 == 0:
            credentials.delete(store.accounts, made.credential.client_id, **who)
            told("deleted", client=made.credential.client_id)


if __name__ == "__main__":
    main()
