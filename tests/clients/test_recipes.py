"""The recipes of docs/node.md and docs/go.md, run as they stand there: against a real server, and by the attack kit."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import uuid

import jwt
import pytest
import requests

from authserver.actions import resource_servers
from resource_server.kit.issuer import Issuer
from resource_server.kit.run import LIFECYCLE, Kit, names
from resource_server.kit.server import served
from resource_server.kit.target import Target
from tests.support import clients_js_plugin
from tests.support.clients_js_plugin import need
from tests.support.deadlines import wait_until
from tests.support.processes import ROOT

GO = ROOT / "tests" / "clients" / "go"
PAGES = {
    "node": ("js", ["verified.mjs", "introspected.mjs", "guard.mjs", "express.mjs", "fastify.mjs"]),
    "go": ("go", ["verified.go", "introspected.go", "main.go"]),
}
ASKING = ["express", "fastify", "go"]
LOCAL = ["express-verified", "fastify-verified", "go-verified"]
TIMED = set(LIFECYCLE) - {"dead", "foreign-audience", "not-issued", "old-role-version"}
"""Checks that wait for new keys, idle ends and the way back of an issuer, for longer than a test should."""

LEFT = {
    "node": {"spelling-signature", "json-payload", "json-header", "json-deep"},
    "go": {"spelling-signature", "crit-malformed", "json-payload", "json-deep"},
}
"""What the pages say that the kit still finds where a recipe verifies locally."""


def write_recipes(page, folder):
    """Write the blocks of a page into files, as its reader does."""
    language, files = PAGES[page]
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert text.count("```") == 2 * len(blocks) == 2 * len(files)
    for name, block in zip(files, blocks, strict=True):
        (folder / name).write_text(block, encoding="utf-8")
    return folder


def missing_go():
    """What is missing to build the Go recipes, or nothing."""
    wanted = re.search(r"^go (\d+)\.(\d+)", (GO / "go.mod").read_text(), re.MULTILINE)
    if shutil.which("go") is None:
        return f"Go is not installed; install Go {wanted[1]}.{wanted[2]} or newer"
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.match(r"go(\d+)\.(\d+)", version)
    if (int(found[1]), int(found[2])) < (int(wanted[1]), int(wanted[2])):
        return f"{version.strip()} is too old; install Go {wanted[1]}.{wanted[2]} or newer"
    return ""


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Build a recipe where its tool is: name -> the words that start it, and where."""
    built = {}

    def build(name):
        framework, _, way = name.partition("-")
        page = "go" if framework == "go" else "node"
        key = page + way if page == "node" else page
        if key not in built:
            folder = write_recipes(page, tmp_path_factory.mktemp(key))
            _prepare_go(folder) if page == "go" else _prepare_node(folder, way)
            built[key] = folder
        return (["./api"] if page == "go" else ["node", f"{framework}.mjs"]), built[key]

    return build


def _prepare_go(folder):
    need("The Go recipes were", missing_go())
    for name in ("go.mod", "go.sum"):
        shutil.copy(GO / name, folder)
    for words in (["go", "build", "-o", "api", "."], ["gofmt", "-l", "."]):
        ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=500)
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def _prepare_node(folder, way):
    need("JavaScript recipes were", clients_js_plugin.missing())
    (folder / "node_modules").symlink_to(clients_js_plugin.HOME / "node_modules")
    if way:
        guard = folder / "guard.mjs"
        guard.write_text(guard.read_text().replace("'./introspected.mjs' // or ", "").replace("from  ", "from "))
        assert f"import {{ judge }} from './{way}.mjs'\n" in guard.read_text()


def environ(name, issuer, audience, api, **more):
    own = {"ISSUER": issuer, "AUDIENCE": audience, "API_ID": api[0], "API_SECRET": api[1], **more}
    if name == "go-verified":
        own["API_ID"] = ""  # this recipe asks where it has an id
    return {**os.environ, **own}


@contextlib.contextmanager
def running(recipes, name, *site):
    """Run a recipe while the context lasts; the URL of its one route, which needs the role ``reader``."""
    words, folder = recipes(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(words, cwd=folder, env=environ(name, *site, PORT=str(port)))
    url = f"http://127.0.0.1:{port}/things/5"

    def listens():
        assert process.poll() is None, "the recipe ended"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=10).status_code == 401
        return False

    try:
        wait_until(f"{name} to listen", listens, pause=0.05)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def call(url, token):
    return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)


@pytest.fixture
def site(_sites):
    """One server for all: what a recipe sees of it does not depend on its database."""
    return _sites("sqlite")


def registered(site, max_staleness=0):
    """A new API: its audience, its id and secret."""
    accounts, name = site.store.accounts, f"recipe {uuid.uuid4().hex}"
    audience = f"https://{uuid.uuid4().hex}.example.com"
    made = resource_servers.register_resource_server(accounts, name, audience, pepper=site.store.pepper, **site.who)
    if max_staleness:
        resource_servers.bound_staleness(accounts, name, max_staleness, **site.who)
    return audience, (made.server.client_id, made.secret)


def revoke(site, token):
    assert requests.post(site.revocation_url, data={"token": token}, auth=site.client, timeout=10).status_code == 200


@pytest.mark.parametrize("name", [*ASKING, *LOCAL])
def test_a_real_server_and_a_recipe_understand_each_other(recipes, site, name):
    audience, api = registered(site)
    with running(recipes, name, site.issuer, audience, api) as url:
        token = site.token("ES256", resource=audience)
        served_call = call(url, token)
        assert served_call.status_code == 200
        assert str(served_call.json()["number"]) == "5"
        assert served_call.json()["for"].startswith("usr_")
        forbidden = call(url, site.token("ES256", resource=audience, scope="writer"))
        assert forbidden.status_code == 403
        assert forbidden.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="reader"'
        assert call(url, site.token("ES256")).status_code == 401, "the audience is another's"
        revoke(site, token)
        dead = call(url, token)
        if name in LOCAL:
            assert dead.status_code == 200, "as the page says: what verifies locally does not see it"
        else:
            assert dead.status_code == 401
            assert dead.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("name", [*ASKING, *LOCAL])
def test_the_attack_kit_finds_what_the_page_says(recipes, name):
    issuer, page = Issuer(), "go" if name.startswith("go") else "node"
    chosen = set(names()) - (set(LIFECYCLE) if name in LOCAL else TIMED)
    with served(issuer) as server, running(recipes, name, issuer.url, issuer.audience, issuer.api) as url:
        target = Target(url)
        report = Kit(target, issuer.mint, server, f"{server.url}/steal/", is_selected=chosen.__contains__).run()
        target.close()
    assert {finding.name for finding in report.findings} == (LEFT[page] if name in LOCAL else set()), report.as_text()
    assert set(report.checks) == chosen
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert all(f"`{finding}`" in text for finding in LEFT[page])


@pytest.mark.parametrize("outage", ["close", 503])
@pytest.mark.parametrize("name", ASKING)
def test_who_cannot_ask_answers_503(recipes, name, outage):
    issuer = Issuer()
    with served(issuer) as server, running(recipes, name, issuer.url, issuer.audience, issuer.api) as url:
        assert call(url, issuer.mint()).status_code == 200
        server.outage = outage
        away = call(url, issuer.mint())
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")
        server.outage = None
        assert call(url, issuer.mint()).status_code == 200


def test_the_go_client_of_the_clients_page_gets_a_token(site, tmp_path):
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```go\n(.*?)```", text, re.DOTALL)
    (tmp_path / "main.go").write_text(program, encoding="utf-8")
    _prepare_go(tmp_path)
    values = {"ISSUER": site.issuer, "AUDIENCE": site.apis["ES256"].audience}
    values |= dict(zip(("CLIENT_ID", "CLIENT_SECRET"), site.client, strict=True))
    got = subprocess.run(["./api"], cwd=tmp_path, env=values, capture_output=True, text=True, check=False, timeout=60)
    assert got.returncode == 0, got.stderr
    assert jwt.get_unverified_header(got.stdout.strip())["typ"] == "at+jwt"


LEASED = """
import { judge, report } from './introspected.mjs'
const { ISSUER, TOKEN, CLIENT } = process.env
const call = () => judge(TOKEN, 'GET', '/things/:number')
const seen = [Boolean(await call()), Boolean(await call())]
await report()
await fetch(`${ISSUER}/oauth/revoke`, {
  method: 'POST',
  headers: { authorization: `Basic ${Buffer.from(CLIENT).toString('base64')}` },
  body: new URLSearchParams({ token: TOKEN }),
})
seen.push(Boolean(await call()))
await report()
seen.push(Boolean(await call()))
console.log(JSON.stringify(seen))
"""


def test_node_honours_a_lease_and_reports_what_it_judged_within(recipes, site):
    audience, api = registered(site, max_staleness=30)
    token = site.token("ES256", resource=audience)
    _, folder = recipes("express")
    (folder / "leased.mjs").write_text(LEASED)
    values = environ("express", site.issuer, audience, api, TOKEN=token, CLIENT=":".join(site.client))
    ran = subprocess.run(
        ["node", "leased.mjs"], cwd=folder, env=values, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    # Asked, from the lease, from the lease after its end (at most S late), and refused after a report told the end.
    assert ran.stdout.strip() == "[true,true,true,false]"

    def uses():
        routes = site.store.credential_reads.usage(site.client_id, 0, top=1000).routes
        return sum(each.uses for each in routes if each.server.startswith("recipe") and each.route == "/things/:number")

    wait_until("the introspection and the reported use to be counted", lambda: uses() >= 2)
