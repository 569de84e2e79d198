"""The gateway recipes in ``deploy/gateways``, run by the real software in front of a real API and the real server."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.resource_server import real as running
from tests.support.deadlines import wait_until
from tests.support.processes import ROOT
from tests.support.servers import free_port
from tests.support.wsgi_client import basic

pytestmark = pytest.mark.skipif(
    not shutil.which("nginx"), reason="nginx as a gateway was not tested: apt install nginx"
)
S = 2


class Api(BaseHTTPRequestHandler):
    """Echoes the headers that reached it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running.started(tmp_path_factory.mktemp("gateway")) as real:
        yield real


@pytest.fixture(scope="module")
def gateway(server, tmp_path_factory):
    """Nginx with the recipe as it is shipped, but for addresses, TLS and the secret; its URL."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    text = (ROOT / "deploy/gateways/nginx/api.conf").read_text(encoding="utf-8")
    for old, new in (
        ("127.0.0.1:9000", f"127.0.0.1:{api.server_address[1]}"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{server.server.port}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port}"),
        ("/dev/shm/nginx-forward-auth", str(folder / "cache")),  # noqa: S108 - the recipe's own
        ("Basic BASE64_OF_ID_AND_SECRET", basic(*server.api)),
    ):
        assert old in text, old
        text = text.replace(old, new)
    text = re.sub(r"\n\s*ssl_certificate\S*\s.*", "", text)
    # Its workers must reach the folder, which is the tests' own.
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; daemon off; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{text}\n}}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("nginx", lambda: call(url, path="/nothing")[0])
        yield url
    finally:
        process.terminate()
        process.wait(20)
        api.shutdown()
        api.server_close()


def call(url, token=None, path="/orders", **headers):
    """Status, headers and JSON of an answer."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, None
    except OSError:
        return 0, {}, None


def test_a_live_token_passes_with_the_names_of_who_calls(server, gateway):
    status, _, seen = call(gateway, server.token(), **{"X-Auth-Subject": "admin", "X-Auth-Roles": "everything"})
    assert status == 200
    assert seen["x-auth-subject"].startswith("usr_")
    assert (seen["x-auth-client"], seen["x-auth-roles"]) == (server.client[0], "reader writer")
    assert "authorization" not in seen


@pytest.mark.parametrize("token", [None, "garbage", "a.b.c"])
def test_without_a_good_token_nothing_passes(gateway, token):
    status, headers, _ = call(gateway, token, **{"X-Auth-Subject": "admin"})
    assert status == 401
    (challenge,) = headers.get_all("WWW-Authenticate")
    assert challenge.startswith("Bearer")


def test_a_missing_role_is_forbidden(server, gateway):
    status, headers, _ = call(gateway, server.token(scope="writer"))
    assert status == 403
    assert "insufficient_scope" in headers["WWW-Authenticate"]


def test_a_revoked_token_is_refused_at_once_without_staleness(server, gateway):
    token = server.token()
    assert call(gateway, token)[0] == 200
    server.revoke(token)
    assert call(gateway, token)[0] == 401


def test_a_gateway_that_may_not_ask_tells_no_caller_to_authenticate(server, gateway):
    """It is the gateway's fault, not the caller's: no 401, and nothing passes."""
    token = server.token()
    server.flask("resource-servers", "disable", "api")
    try:
        assert call(gateway, token)[0] == 502
        assert call(gateway)[0] == 502
    finally:
        server.flask("resource-servers", "enable", "api")
    assert call(gateway, token)[0] == 200


def test_within_the_lease_the_server_is_not_asked_again(server, gateway):
    """What shows it: the server knows already that the token is dead, and has said that S may pass."""
    server.flask("resource-servers", "edit", "api", "--max-staleness", "600")
    try:
        token, asked_before = server.token(), server.token()
        assert call(gateway, asked_before)[0] == 200
        for each in (token, asked_before):
            server.revoke(each)
        assert [call(gateway, each)[0] for each in (token, asked_before)] == [401, 200]
    finally:
        server.flask("resource-servers", "edit", "api", "--max-staleness", "0")


def test_answers_are_kept_for_the_lease_and_no_longer(server, gateway):
    server.flask("resource-servers", "edit", "api", "--max-staleness", str(S))
    try:
        token = server.token()
        assert call(gateway, token)[0] == 200
        server.revoke(token)
        began = time.monotonic()
        wait_until("the refusal", lambda: call(gateway, token)[0] == 401, seconds=S + 3)
        assert time.monotonic() - began < S + 3
        other = server.token(scope="writer")
        assert call(gateway, other)[0] == 403  # the answer about one token is not given about another
    finally:
        server.flask("resource-servers", "edit", "api", "--max-staleness", "0")
