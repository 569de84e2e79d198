"""The really started server, bytes on the wire: ATTACKS.md, part "HTTP layer, inputs, denial of service"."""

import contextlib
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from app import create_app
from authserver.actions import credentials
from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.config import Config
from authserver.server import Stoppable
from keys.master import MasterKey
from tests.support import databases
from tests.support.client_server import started
from tests.support.wsgi_client import BACKENDS, basic

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
HEAD = b"POST /oauth/token HTTP/1.1\r\nHost: a\r\n" + FORM
CLOSE = b"Connection: close\r\n"
BODY = b"grant_type=x"
SECONDS = 10.0


class Site:
    """A running server, and who may use it."""

    def __init__(self, base, services):
        self.base = base
        self.port = int(base.rpartition(":")[2])
        accounts, pepper = services.store().accounts, services.store().pepper
        who = {"actor": "test", "now": services.clock.now()}
        role_actions.create_role(accounts, "reader", "operational", (), **who)
        user_actions.create_user(accounts, "ada", ["reader"], **who)
        api = resource_server_actions.register_resource_server(
            accounts, "api", "https://api.example.com", pepper=pepper, **who
        )
        made = credentials.create(accounts, "ada", "bot", who["now"] + 86400, ("reader",), pepper=pepper, **who)
        self.api = (api.server.client_id, api.secret)
        self.client = (made.credential.client_id, made.secret)

    def alive(self):
        """Check that the server still does its work."""
        form = {"grant_type": "client_credentials"}
        token = requests.post(f"{self.base}/oauth/token", data=form, auth=self.client, timeout=SECONDS).json()
        asked = {"token": token["access_token"]}
        answer = requests.post(f"{self.base}/oauth/introspect", data=asked, auth=self.api, timeout=SECONDS)
        return answer.json()["active"]

    def talk(self, data, deadline=SECONDS):
        """Send bytes; what came back until the server closed, or until patience ran out."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            received = b""
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(data)
                connection.settimeout(deadline)
                with contextlib.suppress(TimeoutError):
                    while piece := connection.recv(65536):
                        received += piece
        return received


@pytest.fixture(scope="module", params=BACKENDS)
def site(request, tmp_path_factory):
    url = (
        databases.fresh_sqlite_url(tmp_path_factory.mktemp("http"))
        if request.param == "sqlite"
        else databases.fresh_postgres_url()
    )
    key = MasterKey.fresh()
    with started(url, key) as base:
        settings = Config.model_validate({"database_url": url, "master_key": key, "issuer": base})
        services = create_app(settings, background=False).extensions["services"]
        try:
            yield Site(base, services)
        finally:
            services.close()


def statuses(received):
    return [int(line.split()[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


HIDDEN = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SMUGGLED = {
    "CL and TE": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE and CL": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE unknown": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE identity": HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 12\r\n\r\n" + BODY + HIDDEN,
    "TE chunked, identity": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE behind a blank": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "obs-fold": HEAD + b"X-A: b\r\n c\r\nContent-Length: 12\r\n\r\n" + BODY + HIDDEN,
    "CR alone": HEAD + b"X-A: b\rc\r\nContent-Length: 12\r\n\r\n" + BODY + HIDDEN,
    "CL twice": HEAD + b"Content-Length: 12\r\nContent-Length: 5\r\n\r\n" + BODY + HIDDEN,
    "CL as a list": HEAD + b"Content-Length: 12, 12\r\n\r\n" + BODY + HIDDEN,
    "CL with a sign": HEAD + b"Content-Length: +12\r\n\r\n" + BODY + HIDDEN,
    "CL below zero": HEAD + b"Content-Length: -1\r\n\r\n" + BODY + HIDDEN,
    "space before colon": HEAD + b"Content-Length : 12\r\n\r\n" + BODY + HIDDEN,
    "NUL in a value": HEAD + b"X-A: b\0c\r\nContent-Length: 12\r\n\r\n" + BODY + HIDDEN,
    "NUL in a name": HEAD + b"X\0A: b\r\nContent-Length: 12\r\n\r\n" + BODY + HIDDEN,
    "NUL in the path": b"GET /livez\0 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "chunk size no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size signed": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0xc\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk ends in LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\nc\n" + BODY + b"\n0\n\n" + HIDDEN,
    "chunk too large": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n" + BODY + HIDDEN,
    "no version": b"GET /livez\r\n\r\n" + HIDDEN,
    "version 9": b"GET /livez HTTP/9.9\r\nHost: a\r\n\r\n" + HIDDEN,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "garbage": b"\xff" * 100 + b"\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_T_149_one_refusal_and_the_end(site, name):
    assert statuses(site.talk(SMUGGLED[name])) == [400]


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 12\r\nContent-Length: 12\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nc;name=value\r\n" + BODY + b"\r\n0\r\n\r\n",
        (HEAD + b"Content-Length: 12\r\n\r\n").replace(b"\r\n", b"\n") + BODY,
    ],
)
def test_T_149_what_http_leaves_open_is_read_in_one_way(site, data):
    """Each of these ends where the sender says it does: nothing in it is taken for a request of its own."""
    assert statuses(site.talk(data + HIDDEN)) in ([400], [400, 200])


def test_T_155_a_nul_in_any_parameter(site):
    for body in (b"grant_type=\0", b"grant_type=%00", b"\0=x", b"grant_type=client_credentials&x=%00"):
        data = HEAD + CLOSE + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        assert statuses(site.talk(data)) == [400]
    assert requests.post(f"{site.base}/oauth/token?x=%00", data={}, timeout=SECONDS).status_code == 400
    assert requests.get(f"{site.base}/%00", timeout=SECONDS).status_code in {400, 404}


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_too_large_a_body_is_413(site, size):
    declared = HEAD + CLOSE + f"Content-Length: {size}\r\n\r\n".encode() + b"a" * size
    chunk = b"8000\r\n" + b"a" * 0x8000 + b"\r\n"
    chunked = HEAD + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (size // 0x8000 + 1) + b"0\r\n\r\n"
    assert statuses(site.talk(chunked)) in ([413], [])
    answer = requests.post(f"{site.base}/oauth/introspect", data={"token": "a" * size}, timeout=SECONDS)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")
    assert statuses(site.talk(declared)) in ([413], [])  # the server may close before all of it is sent


def test_a_flood_of_headers_is_refused(site):
    many = b"".join(b"X-%d: a\r\n" % number for number in range(3000))
    for headers in (many, b"X-A: " + b"a" * 20_000 + b"\r\n", b"X-A: " + b"a" * 200_000 + b"\r\n"):
        answer = statuses(site.talk(HEAD + CLOSE + headers + b"Content-Length: 12\r\n\r\n" + BODY))
        assert answer in ([431], [400], [])
        assert site.alive()


def test_T_153_multipart_is_refused(site):
    part = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for body, status in ((part * 1000, 400), (b"\r" * 60_000, 400), (part * 100_000, 413)):
        for path in ("token", "introspect", "revoke"):
            answer = requests.post(f"{site.base}/oauth/{path}", data=body, headers=kind, timeout=SECONDS)
            assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/.well-known/jwks.json", "/", "/livez"])
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "TRACK", "DEBUG", "PROPFIND"])
def test_T_163_methods_that_are_not_offered(site, path, method):
    received = site.talk(
        f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-Secret: NEEDLE\r\nConnection: close\r\n\r\n".encode()
    )
    assert statuses(received)[0] in {400, 404, 405, 501}
    assert b"NEEDLE" not in received


@pytest.mark.parametrize("path", ["/oauth/token", "/", "/nowhere", "/console", "/?__debugger__=yes&cmd=resource"])
def test_T_163_no_versions_no_debugger_no_traces(site, path):
    answer = requests.get(site.base + path, timeout=SECONDS)
    told = answer.text + str(answer.headers)
    for word in ("Werkzeug", "Traceback", "Python/", "granian/", "Flask", "sqlite", "postgres", "/authserver/"):
        assert word not in told
    assert not any(char.isdigit() for char in answer.headers.get("Server", ""))


def test_T_151_INV_32_forged_hosts_change_nothing(site):
    plain = requests.get(f"{site.base}/.well-known/oauth-authorization-server", timeout=SECONDS).content
    for name in ("Host", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto"):
        answer = requests.get(
            f"{site.base}/.well-known/oauth-authorization-server", headers={name: "evil.example"}, timeout=SECONDS
        )
        assert answer.content == plain


def test_T_145_the_issuer_is_the_configured_one_in_tokens_too(site):
    from tests.support.wsgi_client import parts

    form = {"grant_type": "client_credentials"}
    answer = requests.post(
        f"{site.base}/oauth/token", data=form, auth=site.client, headers={"Host": "evil"}, timeout=SECONDS
    )
    assert parts(answer.json()["access_token"])[1]["iss"] == site.base


def test_T_159_slow_senders_of_headers_hold_up_nobody(site):
    held = []
    try:
        for _ in range(300):
            connection = socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS)
            connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            held.append(connection)
        assert all(site.alive() for _ in range(10))
    finally:
        for connection in held:
            connection.close()


def requests_at_random(dice, number, good):
    """Requests of every degree of nonsense, from pure noise to one changed byte in a good one."""
    for _ in range(number):
        kind = dice.randrange(4)
        if kind == 0:
            yield dice.randbytes(dice.randrange(1, 300))
            continue
        data = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(data))
            if kind == 1:
                data[at] = dice.randrange(256)
            elif kind == 2:
                del data[at : at + dice.randrange(1, 9)]
            else:
                data[at:at] = dice.choice([b"\0", b"%00", b"\r\n", b"&", b"=", b"%", b"\xff", b"\xc0\x80", b"\x1b["])
            if not data:
                break
        yield bytes(data)


def test_T_165_requests_of_nonsense(site):
    """No answer of 500 or above, whatever the bytes; the server works afterwards as before."""
    dice = random.Random(165)
    good = []
    for path, who, body in (
        ("/oauth/token", site.client, b"grant_type=client_credentials&scope=reader&resource=https://api.example.com"),
        ("/oauth/introspect", site.api, b"token=a.b.c&token_type_hint=access_token&http_method=GET&http_route=/x"),
        ("/oauth/revoke", site.client, b"token=a.b.c"),
    ):
        start = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {basic(*who)}\r\n".encode()
        good.append(start + CLOSE + FORM + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    good.append(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nIf-None-Match: x\r\n" + CLOSE + b"\r\n")
    sent = list(requests_at_random(dice, 800, good))
    with ThreadPoolExecutor(8) as pool:
        # Some of them never end: patience is short, and nothing is said about those that got no answer.
        answers = list(pool.map(lambda data: site.talk(data, 0.3), sent))
    seen = set()
    for data, received in zip(sent, answers, strict=True):
        codes = statuses(received)
        assert all(code < 500 for code in codes), (data, received)
        seen.update(codes)
    assert {200, 400, 401} <= seen
    assert site.alive()


def test_T_165_good_http_around_nonsense(site):
    """Well-formed requests on one connection that is kept; every refusal is JSON with a registered shape."""
    dice = random.Random(166)
    names = ["grant_type", "client_id", "client_secret", "scope", "resource", "token", "http_route", "\0", "é", ""]
    values = ["client_credentials", site.client[0], site.client[1], "reader", "\0", "\ud7ff", "a" * 9000, "'--", ""]
    with requests.Session() as session:
        for _ in range(1000):
            form = [(dice.choice(names), dice.choice(values)) for _ in range(dice.randrange(6))]
            path = dice.choice(["token", "introspect", "revoke", "Token"])
            answer = session.post(
                f"{site.base}/oauth/{path}",
                data=form,
                auth=dice.choice([None, site.client, site.api, ("\x80", "\xff")]),
                headers={"X-Request-Id": dice.choice(["a", "'", "x" * 500]), "Accept": dice.choice(["*/*", ";,q="])},
                timeout=SECONDS,
            )
            assert answer.status_code < 500, (form, answer.text)
            assert isinstance(json.loads(answer.content), dict)
    assert site.alive()


def test_a_signal_that_comes_during_another_does_not_hang_the_server():
    """Both are handled on one thread, the second in the middle of the first: here while the event's lock is held."""
    server = Stoppable("app:wsgi", interface="wsgi", factory=True)

    def interrupted():
        with server.main_loop_interrupt._cond:
            server.signal_handler_interrupt()

    handler = threading.Thread(target=interrupted, daemon=True)
    handler.start()
    handler.join(10)
    assert not handler.is_alive()
    assert server.main_loop_interrupt.wait(10)
    assert server.interrupt_signal
