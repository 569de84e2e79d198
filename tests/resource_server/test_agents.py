"""The sample MCP server and agent, with the unmodified official SDK: a subset of roles, and deaths in the middle."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from resource_server.kit.issuer import Issuer
from resource_server.kit.server import served
from tests.support.processes import ROOT
from tests.support.servers import free_port

SAMPLE = ROOT / "examples" / "mcp_server"
START_SECONDS = 60


@pytest.fixture(scope="module")
def place():
    """A throw-away issuer and the sample server: the issuer, and the URL of the server."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    issuer = Issuer(audience=url)
    with served(issuer):
        values = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RESOURCE_SERVER_ISSUER": issuer.url,
            "RESOURCE_SERVER_AUDIENCE": url,
            "RESOURCE_SERVER_CLIENT_ID": issuer.api[0],
            "RESOURCE_SERVER_CLIENT_SECRET": issuer.api[1],
        }
        process = subprocess.Popen([sys.executable, str(SAMPLE / "server.py")], env=values)
        try:
            end = time.monotonic() + START_SECONDS
            while status(url)[0] == 0:
                assert process.poll() is None, "the sample server ended"
                assert time.monotonic() < end, f"after {START_SECONDS} s the sample server does not listen"
                time.sleep(0.1)
            yield issuer, url
        finally:
            process.terminate()
            process.wait(20)


def status(url, **headers):
    """Status and challenge of a call; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers), timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("WWW-Authenticate", "")
    except OSError:
        return 0, ""


def agent(place, tool, *arguments, **environ):
    """Run the sample agent; its exit code, what it printed and what it complained of."""
    issuer, url = place
    own = {"ISSUER": issuer.url, "CLIENT_ID": issuer.client_id, "CLIENT_SECRET": issuer.client_secret}
    values = {**os.environ, **own, **environ}
    words = [sys.executable, str(SAMPLE / "agent.py"), url, tool, *arguments]
    done = subprocess.run(words, env=values, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_without_a_token_the_agent_is_told_where_to_get_one(place):
    issuer, url = place
    code, challenge = status(url)
    assert code == 401
    assert "error=" not in challenge
    where = challenge.partition('resource_metadata="')[2].partition('"')[0]
    with urllib.request.urlopen(where, timeout=10) as answer:
        document = json.load(answer)
    assert document["resource"] == url
    assert document["authorization_servers"] == [issuer.url]


def test_an_agent_calls_a_tool_as_the_owner(place):
    code, out, err = agent(place, "whoami")
    assert code == 0, err
    document = json.loads(json.loads(out)[0])
    assert document == {"acts_for": place[0].owner, "client": place[0].client_id, "roles": ["reader", "writer"]}


def test_with_some_roles_only(place):
    issuer, _ = place
    assert agent(place, "add_thing", "name=x")[0] == 0
    issuer.roles = ("reader",)  # as a credential that was given this role only
    try:
        code, out, err = agent(place, "add_thing", "name=x")
    finally:
        issuer.roles = ("reader", "writer")
    assert code == 1, err
    assert "needs the role writer" in out


def test_a_dead_token_is_refused_and_an_outage_is_no_refusal(place):
    issuer, url = place
    text = issuer.mint()
    bearer = {"Authorization": f"Bearer {text}", "Accept": "application/json, text/event-stream"}
    assert status(url, **bearer)[0] not in {401, 403, 503}
    issuer.change_roles()
    code, challenge = status(url, **bearer)
    assert code == 401
    assert 'error="invalid_token"' in challenge
    missing = issuer.mint(roles=["writer"], scope="writer")
    code, challenge = status(url, Authorization=f"Bearer {missing}")
    assert code == 403
    assert 'scope="reader"' in challenge


def test_an_idle_agent_is_refused(place):
    issuer, url = place
    text = issuer.mint()
    bearer = {"Authorization": f"Bearer {text}"}
    assert status(url, **bearer)[0] != 401
    issuer.issued[next(j for j, each in issuer.issued.items() if each.text == text)].last_used -= issuer.idle_seconds
    assert status(url, **bearer)[0] == 401


def test_a_role_that_is_taken_away_is_gone_with_the_next_call(place):
    """The agent's session goes on: its token is dead, and the SDK gets one with what is left."""
    issuer, url = place
    code = (
        "import asyncio, sys, httpx2\n"
        f"sys.path.insert(0, {str(SAMPLE)!r})\n"
        "from agent import *\n"
        "async def main():\n"
        "    async with (httpx2.AsyncClient(auth=provider(sys.argv[1], InMemory()), timeout=30) as http,\n"
        "                streamable_http_client(sys.argv[1], http_client=http) as streams,\n"
        "                ClientSession(*streams[:2]) as session):\n"
        "        await session.initialize()\n"
        "        for _ in range(2):\n"
        "            told = await session.call_tool('add_thing', {'name': 'x'})\n"
        "            print(told.is_error, told.content[0].text, flush=True)\n"
        "            sys.stdin.readline()\n"
        "asyncio.run(main())\n"
    )
    own = {"ISSUER": issuer.url, "CLIENT_ID": issuer.client_id, "CLIENT_SECRET": issuer.client_secret}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, url], env={**os.environ, **own}, **pipes)
    try:
        first = process.stdout.readline()
        assert first == "False added x\n", process.stderr.read() if process.poll() is not None else first
        issuer.roles = ("reader",)
        issuer.change_roles()
        out, err = process.communicate("\n\n", timeout=60)
        assert out.startswith("True"), err
        assert "needs the role writer" in out
    finally:
        issuer.roles = ("reader", "writer")
        process.kill()
        process.wait(20)


def test_the_same_against_the_real_server(real):
    """The SDK refuses metadata of an authorization server without an ``authorization_endpoint``."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    made = real.flask("resource-servers", "create", "mcp", "--audience", url)
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RESOURCE_SERVER_ISSUER": real.issuer,
        "RESOURCE_SERVER_AUDIENCE": url,
        "RESOURCE_SERVER_CLIENT_ID": made["client_id"],
        "RESOURCE_SERVER_CLIENT_SECRET": made["client_secret"],
    }
    process = subprocess.Popen([sys.executable, str(SAMPLE / "server.py")], env=environ)
    try:
        end = time.monotonic() + START_SECONDS
        while status(url)[0] == 0:
            assert time.monotonic() < end, f"after {START_SECONDS} s the sample server does not listen"
            time.sleep(0.1)
        own = {"ISSUER": real.issuer, "CLIENT_ID": real.client[0], "CLIENT_SECRET": real.client[1]}
        words = [sys.executable, str(SAMPLE / "agent.py"), url, "whoami"]
        done = subprocess.run(words, env={**os.environ, **own}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(json.loads(done.stdout)[0])["roles"] == ["reader", "writer"]
    finally:
        process.terminate()
        process.wait(20)
