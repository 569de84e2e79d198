"""Delivery by push (RFC 8935): at least once, in order, with waits that grow, and to no address within."""

import http.server
import ipaddress
import json
import ssl
import subprocess
import threading
import time

import pytest

from authserver.actions import users
from authserver.oauth.shared_signals import pushes as pushes_module
from authserver.oauth.shared_signals.pushes import CLAIM_SECONDS
from authserver.outbound.event_push import PushClient
from authserver.ports.shared_signals.streams import Outcome
from tests.oauth.shared_signals.conftest import BOTH, PUSH, SESSION_REVOKED, TOKEN_CLAIMS_CHANGE, VERIFICATION
from tests.support.deadlines import SECONDS, wait_until
from tests.support.shell import Shell

TAKEN = Outcome(accepted=True)
URL = "https://receiver.example.com/events"
ACCOUNTS = {"method": PUSH, "endpoint_url": URL, "authorization_header": "Bearer t0p"}


class Posts:
    """Instead of the network: keeps what was sent, and answers as told."""

    def __init__(self, world, receiver):
        self.world, self.receiver = world, receiver
        self.sent, self.answers, self.headers = [], [], []
        self.pushes = world.services.pushes(self)
        self.pushes._jitter = lambda: 1.0

    def __call__(self, url, event, authorization):
        assert url == URL
        self.headers.append(authorization)
        self.sent.append(self.receiver.verified(event))
        return self.answers.pop(0) if self.answers else TAKEN

    def round(self):
        """One round; the ids that were sent in it."""
        before = len(self.sent)
        self.pushes.step()
        self.pushes.drain(SECONDS)
        return [claims["jti"] for claims in self.sent[before:]]


@pytest.fixture
def posts(world, receiver):
    posts = Posts(world, receiver)
    yield posts
    posts.pushes.stop()


def change_role(world, times=1):
    for _ in range(times):
        users.revoke(world.accounts, "ada", "writer", **world.who)
        users.grant(world.accounts, "ada", "writer", **world.who)


def of_api(world):
    server = next(each for each in world.accounts.resource_servers() if each.name == "api")
    return world.store.event_streams.of_server(server.id)


@BOTH
def test_what_ends_is_pushed_once_it_is_taken_and_not_again(world, receiver, posts):
    assert posts.round() == []
    receiver.create(delivery=ACCOUNTS)
    assert posts.round() == []
    change_role(world)
    first = posts.round()
    assert [next(iter(claims["events"])) for claims in posts.sent] == [TOKEN_CLAIMS_CHANGE] * 2
    assert posts.headers == ["Bearer t0p"] * 2
    assert (len(set(first)), posts.round()) == (2, [])
    (stream,) = of_api(world)
    assert (stream.delivered, stream.delivered_at, stream.last_error) == (2, world.clock.at, "")


def test_a_receiver_that_fails_gets_the_same_again_later_and_waits_grow(world, receiver, posts):
    receiver.create(delivery=ACCOUNTS)
    change_role(world)
    failed = Outcome(accepted=False, error="no_answer")
    posts.answers, waits, sent = [failed] * 14, [], []
    for _ in range(14):
        sent += posts.round()
        assert posts.round() == []  # not before its time
        (stream,) = of_api(world)
        waits.append(stream.next_push_at - world.clock.at)
        world.clock.at = stream.next_push_at
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-2:] == [3600, 3600]
    assert len(set(sent)) == 1  # what comes behind waits for it
    assert (stream.failures, stream.last_error) == (14, "no_answer")
    assert len(posts.round()) == 2
    (stream,) = of_api(world)
    assert (stream.failures, stream.delivered) == (0, 2)


def test_what_a_receiver_refuses_for_good_does_not_hold_up_the_rest(world, receiver, posts):
    receiver.create(delivery=ACCOUNTS)
    change_role(world)
    posts.answers = [Outcome(accepted=False, error="invalid_request", final=True)]
    assert len(posts.round()) == 2
    (stream,) = of_api(world)
    assert (stream.delivered, stream.failures, stream.last_error) == (1, 0, "invalid_request")
    assert posts.round() == []


@BOTH
def test_a_node_that_ends_between_sending_and_noting_leaves_it_to_another(world, receiver, posts):
    receiver.create(delivery=ACCOUNTS)
    change_role(world)
    posts.pushes.step()
    wait_until("both to be sent", lambda: len(posts.sent) == 2)
    other = Posts(world, receiver)
    try:
        assert other.round() == []  # it is claimed
        world.clock.at += CLAIM_SECONDS
        assert other.round() == [claims["jti"] for claims in posts.sent]  # at least once
        posts.pushes.drain(SECONDS)
        assert other.round() == posts.round() == []
    finally:
        other.pushes.stop()


@BOTH
def test_a_paused_stream_is_not_pushed_but_told_so_and_catches_up(world, receiver, posts):
    stream_id = receiver.create(delivery=ACCOUNTS)["stream_id"]
    change_role(world)
    shell = Shell(world.app)
    shell.json("resource-servers", "streams", "set-status", "api", stream_id, "paused")
    (jti,) = posts.round()
    assert posts.sent[-1]["events"] == {
        "https://schemas.openid.net/secevent/ssf/event-type/stream-updated": {"status": "paused"}
    }
    assert posts.round() == []
    shell.json("resource-servers", "streams", "set-status", "api", stream_id, "enabled")
    assert len(posts.round()) == 3
    assert jti


def test_a_verification_is_pushed_at_once_even_to_who_failed(world, receiver, posts):
    stream_id = receiver.create(delivery=ACCOUNTS)["stream_id"]
    change_role(world)
    posts.answers = [Outcome(accepted=False, error="no_answer")]
    posts.round()
    receiver.call("POST", receiver.discovered["verification_endpoint"], {"stream_id": stream_id, "state": "x"})
    assert len(posts.round()) == 3
    assert posts.sent[1]["events"] == {VERIFICATION: {"state": "x"}}


def test_the_metrics_and_the_console_show_it(world, receiver, posts):
    receiver.create(delivery=ACCOUNTS, description="Ledger")
    change_role(world)
    posts.answers = [TAKEN, Outcome(accepted=False, error="status_500")]
    posts.round()
    text = world.services._observer.exposition().decode()
    assert 'oauth_security_events_total{delivery="push",outcome="acknowledged"} 1.0' in text
    assert 'oauth_security_events_total{delivery="push",outcome="failed"} 1.0' in text
    assert 'oauth_shared_signals_requests_total{outcome="created"} 1.0' in text
    assert Shell(world.app).json("resource-servers", "streams", "list", "api")[0]["last_error"] == "status_500"


class Web:
    """A real receiver on loopback; ``answer`` is its status and body."""

    def __init__(self, context=None):
        web, self.got, self.answer = self, [], (202, b"")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((self.path, dict(self.headers), body.decode()))
                status, told = web.answer
                if status == "drip":
                    self.drip()
                    return
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/other")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def drip(self):
                try:
                    for _ in range(SECONDS * 20):
                        self.wfile.write(b"H")
                        time.sleep(0.05)
                except OSError:
                    web.got.append("cut")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    web = Web()
    yield web
    web.close()


LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


def at(web, path="/events?x=1", host="127.0.0.1"):
    return f"http://{host}:{web.port}{path}"


def test_the_request_is_that_of_the_standard(web):
    assert PushClient(LOOPBACK).send(at(web), "a.b.c", "Bearer t0p") == TAKEN
    ((path, headers, body),) = web.got
    assert (path, body) == ("/events?x=1", "a.b.c")
    assert headers["Content-Type"] == "application/secevent+jwt"
    assert headers["Accept"] == "application/json"
    assert headers["Authorization"] == "Bearer t0p"
    assert headers["Host"] == f"127.0.0.1:{web.port}"


@pytest.mark.parametrize(
    ("status", "body", "error", "final"),
    [
        (400, {"err": "invalid_request", "description": "x"}, "invalid_request", True),
        (400, {"err": "invalid_audience"}, "invalid_audience", True),
        (400, {"err": "invalid_key"}, "invalid_key", False),
        (400, {"err": "authentication_failed"}, "authentication_failed", False),
        (400, {"err": "a\nb"}, "status_400", False),
        (400, {"err": ["x"]}, "status_400", False),
        (400, [1], "status_400", False),
        (200, {}, "status_200", False),
        (204, None, "status_204", False),
        (302, {}, "status_302", False),
        (401, {}, "status_401", False),
        (503, {}, "status_503", False),
    ],
)
def test_every_answer_but_202_is_a_failure_and_no_redirect_is_followed(web, status, body, error, final):
    web.answer = (status, b"" if body is None else json.dumps(body).encode())
    assert PushClient(LOOPBACK).send(at(web), "a.b.c", "") == Outcome(accepted=False, error=error, final=final)
    assert len(web.got) == 1
    assert "Authorization" not in web.got[0][1]


def test_an_answer_that_never_ends_is_cut_off(web):
    web.answer = ("drip", b"")
    began = time.monotonic()
    assert PushClient(LOOPBACK, total_seconds=0.5).send(at(web), "a.b.c", "").error == "no_answer"
    assert time.monotonic() - began < SECONDS / 2
    wait_until("the receiver to notice", lambda: "cut" in web.got)


INSIDE = [
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_resolves_within_is_not_connected_to(monkeypatch, address):
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("it connected"))
    for found in ([address], ["93.184.215.14", address]):
        client = PushClient(resolve=lambda *_, found=found: found)
        assert client.send("https://receiver.example.com/", "a.b.c", "").error == "address_not_allowed"
    literal = f"[{address}]" if ":" in address else address
    assert PushClient().send(f"https://{literal}/", "a.b.c", "").error == "address_not_allowed"
    assert PushClient().url_fault(f"https://{literal}/")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    """A name that resolves otherwise a moment later is of no use."""
    seen = []

    def connect(address, _timeout):
        seen.append(address)
        raise OSError

    monkeypatch.setattr("socket.create_connection", connect)
    answers = [["93.184.215.14"], ["127.0.0.1"]]
    client = PushClient(resolve=lambda *_: answers.pop(0))
    assert client.send("https://receiver.example.com:8443/", "a.b.c", "").error == "no_answer"
    assert seen == [("93.184.215.14", 8443)]


def test_plain_http_is_for_loopback_that_was_allowed(web):
    assert PushClient().url_fault(at(web))
    assert PushClient([ipaddress.ip_network("10.0.0.0/8")]).url_fault("http://10.0.0.1/")
    assert not PushClient(LOOPBACK).url_fault(at(web, host="localhost"))
    client = PushClient(LOOPBACK, resolve=lambda *_: ["10.0.0.1"])
    assert client.send(at(web, host="localhost"), "a.b.c", "").error == "address_not_allowed"
    assert PushClient(resolve=_unknown).send(URL, "a.b.c", "").error == "name_not_resolved"
    assert web.got == []


def _unknown(_host, _port):
    raise OSError


def test_a_certificate_of_another_is_refused(tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    options = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=receiver", "-addext", "subjectAltName=DNS:receiver.example.com"]
    subprocess.run(
        ["openssl", *options, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web = Web(context)
    try:
        url = f"https://receiver.example.com:{web.port}/"

        def client(trusted):
            context = ssl.create_default_context(cafile=certificate) if trusted else None
            return PushClient(LOOPBACK, resolve=lambda *_: ["127.0.0.1"], context=context)

        assert client(trusted=True).send(url, "a.b.c", "") == TAKEN
        assert client(trusted=False).send(url, "a.b.c", "").error == "tls_failed"
        other = f"https://other.example.com:{web.port}/"
        assert client(trusted=True).send(other, "a.b.c", "").error == "tls_failed"
        assert len(web.got) == 1
    finally:
        web.close()


def test_the_thread_of_a_serving_process_pushes_to_a_real_receiver(world, receiver, web, monkeypatch):
    monkeypatch.setattr(pushes_module, "SECONDS", 0.02)
    monkeypatch.setattr(pushes_module, "IDLE_SECONDS", 0.02)
    client = PushClient(LOOPBACK)
    world.http.application._table["/ssf/streams"].endpoint._url_fault = client.url_fault
    pushes = world.services.pushes(client.send)
    pushes.start()
    try:
        receiver.create(delivery={"method": PUSH, "endpoint_url": at(web)}, events_requested=[SESSION_REVOKED])
        users.disable(world.accounts, "ada", **world.who)
        wait_until("the event", lambda: web.got)
        claims = receiver.verified(web.got[0][2])
        assert next(iter(claims["events"])) == SESSION_REVOKED
        wait_until("it to be noted", lambda: of_api(world)[0].delivered == 1)
    finally:
        pushes.stop()
