"""Every request in docs/api.md and docs/audit-events.md is answered as the page says, with its variables filled in."""

import re
import shlex

from authserver.actions import general_settings
from authserver.api.operations import OPERATIONS
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BASE = "http://127.0.0.1:8000"


AUDIT_PAGE = (ROOT / "docs" / "audit-events.md").read_text(encoding="utf-8")


def requests():
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE + AUDIT_PAGE, re.MULTILINE | re.DOTALL):
        yield from (line for line in block.splitlines() if line.startswith("curl "))


class Reader:
    """Somebody who follows the page, with a token of an administrator."""

    def __init__(self, world):
        self.world, self.keys = world, iter(range(1000))
        self.known = {"TOKEN": world.root.token, "CREDENTIAL": "", "ETAG": ""}

    def send(self, line):
        method, url, headers, body, user = "GET", "", {}, None, None
        words = iter(shlex.split(self.filled(line))[1:])
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                body, method = [*(body or []), next(words)], "POST" if method == "GET" else method
            elif word == "-u":
                user = tuple(next(words).split(":"))
            elif not word.startswith("-"):
                url = word
        if user:
            client = self.world.root.credential
            form = dict(each.split("=", 1) for each in body)
            return self.world.post(url.removeprefix(BASE), form, client)
        answer = self.world.http.open(url, method=method, headers=headers, data=body[0] if body else None)
        self.known["ETAG"] = answer.headers.get("ETag", self.known["ETAG"])
        if method == "POST" and url.endswith("/credentials"):
            self.known["CREDENTIAL"] = answer.json["client_id"]
        return answer

    def filled(self, line):
        line = line.replace("ISSUER", BASE).replace("$KEY", f"k-{next(self.keys)}")
        for name, value in self.known.items():
            line = line.replace(f"${name}", value.replace('"', '\\"'))
        return line


def test_every_request_on_the_page_succeeds(world):
    reader, sent = Reader(world), list(requests())
    general_settings.set_general(world.accounts, "self_rotation", "1", **world.who)
    assert len(sent) > 10
    for line in sent:
        answer = reader.send(line)
        assert 200 <= answer.status_code < 300, (line, answer.text)


def test_every_operation_is_on_the_page():
    told = re.sub(r"`(/[\w/{}-]+)`", lambda path: path[0], PAGE)
    for made in OPERATIONS:
        last = [part for part in re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", made.path).split("/") if part][-1]
        assert last in told, made.path
