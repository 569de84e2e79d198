"""The gateway recipes in ``deploy/gateways``, run by the real software in front of a real API and the real server."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.deploy.gateway_software import GATEWAYS, NEEDED, RECIPES, Place
from tests.resource_server import real as running
from tests.support.clients_js_plugin import need
from tests.support.deadlines import wait_until
from tests.support.servers import free_port

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
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
def api():
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    yield api.server_address[1]
    api.shutdown()
    api.server_close()


@contextlib.contextmanager
def running_gateway(name, server, api, folder):
    """A gateway with its recipe; its URL."""
    program = name.partition(" ")[0]
    software = "" if shutil.which(program, path=PATH) else f"it is not installed: apt install {program}"
    module, package = NEEDED.get(name, ("/", ""))
    if not software and not Path(module).exists():
        software = f"{module} is missing: apt install {package}"
    need(f"{name} as a gateway was", software)
    place = Place(folder, free_port(), api, server)
    command, environ = GATEWAYS[name](place)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, "PATH": PATH, **environ}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{place.port}"
    try:
        wait_until(name, lambda: call(url, path="/nothing")[0] or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text(errors="replace")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        place.close()


@pytest.fixture(scope="module")
def started(server, api, tmp_path_factory):
    """Starts each gateway when it is first needed; all of them are ended at the end."""
    with contextlib.ExitStack() as stack:
        running: dict[str, str] = {}

        def start(name):
            if name not in running:
                folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
                running[name] = stack.enter_context(running_gateway(name, server, api, folder))
            return running[name]

        yield start


@pytest.fixture(params=sorted(GATEWAYS))
def gateway(request, started):
    return started(request.param)


@pytest.fixture
def nginx(started):
    return started("nginx")


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


def test_a_gateway_that_may_not_ask_tells_no_caller_to_authenticate(server, started):
    """It is the gateway's fault, not the caller's: no 401, and nothing passes.

    Apache's modules cannot tell the two apart, as their recipes say.
    """
    token, urls = server.token(), {name: started(name) for name in GATEWAYS}
    server.flask("resource-servers", "disable", "api")
    try:
        for name, url in urls.items():
            wrong = 401 if name.startswith("apache2") else 502
            assert (name, call(url, token)[0], call(url)[0]) == (name, wrong, wrong)
    finally:
        server.flask("resource-servers", "enable", "api")
    assert {name: call(url, token)[0] for name, url in urls.items()} == dict.fromkeys(urls, 200)


def test_within_the_lease_the_server_is_not_asked_again(server, nginx):
    """What shows it: the server knows already that the token is dead, and has said that S may pass."""
    server.flask("resource-servers", "edit", "api", "--max-staleness", "600")
    try:
        token, asked_before = server.token(), server.token()
        assert call(nginx, asked_before)[0] == 200
        for each in (token, asked_before):
            server.revoke(each)
        assert [call(nginx, each)[0] for each in (token, asked_before)] == [401, 200]
    finally:
        server.flask("resource-servers", "edit", "api", "--max-staleness", "0")


def test_answers_are_kept_for_the_lease_and_no_longer(server, nginx):
    server.flask("resource-servers", "edit", "api", "--max-staleness", str(S))
    try:
        token = server.token()
        assert call(nginx, token)[0] == 200
        server.revoke(token)
        began = time.monotonic()
        wait_until("the refusal", lambda: call(nginx, token)[0] == 401, seconds=S + 3)
        assert time.monotonic() - began < S + 3
        other = server.token(scope="writer")
        assert call(nginx, other)[0] == 403  # the answer about one token is not given about another
    finally:
        server.flask("resource-servers", "edit", "api", "--max-staleness", "0")


def test_the_recipes_that_no_registry_has_the_software_for_ask_as_the_others_do():
    """Traefik and Envoy are not run here: their files say so, and are compared with those that are."""
    traefik = (RECIPES / "traefik/dynamic.yaml").read_text(encoding="utf-8")
    envoy = (RECIPES / "envoy/envoy.yaml").read_text(encoding="utf-8")
    assert "NOT RUN by the tests" in traefik
    assert "NOT RUN by the tests" in envoy
    routers = yaml.safe_load(traefik)["http"]
    steps = [routers["middlewares"][name] for name in routers["routers"]["orders"]["middlewares"]]
    identity, asked, after = steps
    strange = identity["headers"]["customRequestHeaders"]
    assert {name for name, value in strange.items() if value == ""} == set(asked["forwardAuth"]["authResponseHeaders"])
    assert asked["forwardAuth"]["trustForwardHeader"] is False
    assert asked["forwardAuth"]["address"].endswith("/oauth/forward-auth?role=reader&route=/orders")
    assert "X-Gateway-Authorization" in asked["forwardAuth"]["authRequestHeaders"]
    assert set(after["headers"]["customRequestHeaders"].values()) == {""}
    listener = yaml.safe_load(envoy)["static_resources"]["listeners"][0]
    chain = listener["filter_chains"][0]["filters"][0]["typed_config"]
    clean, authz, _ = (each["typed_config"] for each in chain["http_filters"])
    removed = {each["remove"] for each in clean["mutations"]["request_mutations"]}
    service = authz["http_service"]
    passed = service["authorization_response"]["allowed_upstream_headers"]["patterns"]
    assert removed == {each["exact"] for each in passed} == {"x-auth-subject", "x-auth-client", "x-auth-roles"}
    assert authz["failure_mode_allow"] is False
    assert service["path_prefix"].startswith("/oauth/forward-auth?role=reader&route=")
    (route,) = chain["route_config"]["virtual_hosts"][0]["routes"]
    assert "authorization" in route["request_headers_to_remove"]
