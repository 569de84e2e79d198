"""Processes that act on two running servers and write down what they did: ``python -m tests.support.history_client``.

Reads its task as JSON from standard input, writes one JSON object per operation.
"""

import base64
import contextlib
import http.client
import json
import random
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

from tests.support import client_ways
from tests.support.deadlines import join

NOW = time.monotonic_ns


class Client:
    """One thread of one client process: keep-alive connections to every node."""

    def __init__(self, task, seed, write):
        self.task, self.dice, self.write = task, random.Random(seed), write
        self.nodes = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=10) for url in task["urls"]]
        self.api = {"Authorization": "Basic " + base64.b64encode(":".join(task["api"]).encode()).decode()}
        self.tokens = []

    def post(self, path, headers, form):
        node = self.dice.choice(self.nodes)
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        called = NOW()
        try:
            node.request("POST", path, urlencode(form), headers)
            answer = node.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            node.close()
            return called, NOW(), 0, None
        return called, NOW(), answer.status, json.loads(body or b"{}")

    def mint(self):
        who = self.dice.choice(self.task["credentials"])
        secrets = self.task["secrets"](who["client"])
        secret = self.dice.choice(secrets)
        called, returned, status, body = self.post(
            "/oauth/token", *client_ways.token_request(who, secret, self.task["issuer"])
        )
        if status != 200:
            self.write("unknown" if status in {0, 500, 503} else "refused", called, returned, status=status)
            return
        claims = json.loads(base64.urlsafe_b64decode(body["access_token"].split(".")[1] + "=="))
        facts = {"user": who["user"], "client": who["client"], "rv": claims["role_version"], "jti": claims["jti"]}
        way, by = who.get("way", client_ways.SECRET), client_ways.proven_by(who, secret)
        self.write("token", called, returned, **facts, roles=claims["roles"], secret=by, way=way)
        self.tokens = [
            *self.tokens[-30:],
            (body["access_token"], {**facts, "minted": returned}, (who, secret)),
        ]

    def look(self):
        if not self.tokens:
            return self.mint()
        text, facts, _ = self.dice.choice(self.tokens)
        called, returned, status, body = self.post("/oauth/introspect", self.api, {"token": text})
        if status != 200:
            return self.write("unknown", called, returned, status=status)
        return self.write("introspect", called, returned, **facts, active=body["active"])

    def end(self):
        if not self.tokens:
            return
        text, facts, who = self.dice.choice(self.tokens)
        headers, form = client_ways.authentication(*who, self.task["issuer"])
        called, returned, status, _ = self.post("/oauth/revoke", headers, {"token": text, **form})
        if status == 200:
            self.write("revoke", called, returned, jti=facts["jti"])

    def run(self, stop):
        while not stop.is_set():
            self.dice.choices((self.mint, self.look, self.end), (30, 68, 2))[0]()


class Administrator:
    """Changes roles, credentials and secrets through the verbs, on a store of its own."""

    def __init__(self, task, seed, write):
        from app import create_app
        from authserver.config import Config

        self.dice, self.write = random.Random(seed), write
        settings = Config(database_url=task["database"], master_key=task["key"], issuer=task["issuer"])
        self.services = create_app(settings, background=False).extensions["services"]
        self.store = self.services.store()
        self.held = {user: set(roles) for user, roles in task["held"].items()}
        self.credentials, self.known = task["credentials"], task["known"]
        self.off = set()

    @property
    def who(self):
        return {"actor": "test", "now": self.services.clock.now()}

    def roles(self):
        from authserver.actions import users as user_actions

        user = self.dice.choice(sorted(self.held))
        gone = "writer" in self.held[user]
        called = NOW()
        version = (user_actions.revoke if gone else user_actions.grant)(self.store.accounts, user, "writer", **self.who)
        self.held[user] ^= {"writer"}
        self.write("roles", called, NOW(), user=user, rv=version, held=sorted(self.held[user]))

    def switch(self):
        from authserver.actions import credentials

        client = self.dice.choice(self.credentials)["client"]
        verb = "enable" if client in self.off else "disable"
        called = NOW()
        getattr(credentials, verb)(self.store.accounts, client, **self.who)
        self.off ^= {client}
        self.write(verb, called, NOW(), client=client)

    def regenerate(self):
        from authserver.actions import credentials

        client = self.dice.choice(self.credentials)["client"]
        old = self.known[client][-1]
        called = NOW()
        made = credentials.regenerate(self.store.accounts, client, 0, pepper=self.store.pepper, **self.who)
        self.known[client] = [old, made.secret]
        self.write("regenerate", called, NOW(), client=client, old=old)

    def run(self, stop):
        while not stop.wait(0.005):
            self.dice.choices((self.roles, self.switch, self.regenerate), (64, 16, 20))[0]()
        self.services.close()


def main():
    task = json.load(sys.stdin)
    lock, count = threading.Lock(), [0]
    lines = []

    def write(kind, called, returned, **facts):
        with lock:
            count[0] += 1
            lines.append(json.dumps({"kind": kind, "called": called, "returned": returned, "facts": facts}))

    known = task["known"]
    task["secrets"] = lambda client: known[client]
    actors = [Client(task, task["seed"] * 100 + number, write) for number in range(task["threads"])]
    if task["administrator"]:
        actors.append(Administrator(task, task["seed"], write))
    stop = threading.Event()
    threads = [threading.Thread(target=actor.run, args=(stop,)) for actor in actors]
    for thread in threads:
        thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        while count[0] < task["operations"] and all(thread.is_alive() for thread in threads):
            time.sleep(0.05)
    stop.set()
    for thread in threads:
        join(thread)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
