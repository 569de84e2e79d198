"""One GET from an address that somebody entered: what cannot be done with it (T-141, T-161; OWASP SSRF)."""

import ipaddress
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from authserver.outbound import safe_fetch
from authserver.outbound.safe_fetch import FetchError, fetch
from authserver.rules.outbound import public_addresses
from tests.support.server_certificates import certificate

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def is_allowed(text, allowed):
    return public_addresses.is_allowed(ipaddress.ip_address(text), allowed)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.pages.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if body == "drip":
                while not self.server.stop.wait(0.1):
                    self.wfile.write(b" ")
            else:
                self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def served(tls=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.daemon_threads, server.block_on_close = True, False
    server.asked, server.stop = [], threading.Event()
    server.pages = {
        "/jwks": (200, {}, b'{"keys":[]}'),
        "/away": (302, {"Location": "/jwks"}, b""),
        "/forever": (308, {"Location": "/jwks"}, b""),
        "/broken": (500, {}, b"x"),
        "/large": (200, {}, b" " * (safe_fetch.MOST_BYTES + 1)),
        "/endless": (200, {"Content-Length": "999999999"}, b" " * (safe_fetch.MOST_BYTES + 9000)),
        "/slow": (200, {}, "drip"),
    }
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def site():
    server = served()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def reason(url, *args, **more):
    with pytest.raises(FetchError) as caught:
        fetch(url, *args, **more)
    return caught.value.reason


def test_a_document_is_read_with_its_query(site):
    assert fetch(f"http://127.0.0.1:{site.server_port}/jwks?x=1", LOOPBACK) == b'{"keys":[]}'
    path, headers = site.asked[-1]
    assert path == "/jwks?x=1"
    assert headers["Host"] == f"127.0.0.1:{site.server_port}"
    assert not {"Cookie", "Authorization"} & set(headers)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/away", "redirect"),
        ("/forever", "redirect"),
        ("/broken", "status"),
        ("/none", "status"),
        ("/large", "too_much"),
        ("/endless", "too_much"),
    ],
)
def test_what_it_answers_with_is_held_to_limits(site, path, said):
    before = len(site.asked)
    assert reason(f"http://127.0.0.1:{site.server_port}{path}", LOOPBACK) == said
    assert len(site.asked) == before + 1  # nothing is asked a second time


def test_the_time_is_over_when_it_is_over(site, monkeypatch):
    monkeypatch.setattr(safe_fetch, "TOTAL_SECONDS", 0.5)
    began = time.monotonic()
    assert reason(f"http://127.0.0.1:{site.server_port}/slow", LOOPBACK) == "too_slow"
    assert reason("https://slow.example.com/", resolve=lambda *_: time.sleep(2) or []) == "too_slow"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/jwks",
        "http://example.com/jwks",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https://user:pass@example.com/",
        "https://example.com/#x",
        "https://example.com\\@127.0.0.1/",
        "https:///jwks",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com:99999/",
        "https://[::1/",
        "",
        "https://" + "x" * 300,
    ],
)
def test_T_141_only_https(url):
    assert reason(url, resolve=lambda *_: []) in {"address", "unknown_host", "not_public"}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - an address to be refused
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fd00:ec2::254",
        "fec0::1",
        "::a00:1",
        "64:ff9b:1::a00:1",
        "localhost",
        "0x7f000001",
        "2130706433",
        "",
    ],
)
def test_T_161_nothing_that_leads_inside(address):
    assert reason("https://keys.example.com/jwks", resolve=lambda *_: [address]) == "not_public"
    assert reason("https://keys.example.com/jwks", resolve=lambda *_: ["93.184.216.34", address]) == "not_public"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_what_is_public_may_be_asked(address):
    assert is_allowed(address, ())


def test_what_the_operator_allows_is_allowed_and_no_more():
    allowed = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8"))
    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert is_allowed("fd12::1", allowed)
    assert not is_allowed("10.2.0.1", allowed)
    assert not is_allowed("::1", allowed)


def test_T_161_the_name_is_resolved_once_so_that_a_second_answer_changes_nothing(site):
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return next(answers)

    url = f"http://localhost:{site.server_port}/jwks"
    assert fetch(url, LOOPBACK, resolve) == b'{"keys":[]}'
    assert asked == [("localhost", site.server_port)]


def test_a_name_that_nobody_has():
    assert reason("https://keys.invalid/jwks", resolve=lambda *_: []) == "unknown_host"

    def unknown(*_):
        raise OSError

    assert reason("https://keys.invalid/jwks", resolve=unknown) == "unknown_host"


def test_nobody_listens():
    assert reason("http://127.0.0.1:9/", LOOPBACK) == "unreachable"


def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(tmp_path):
    public, private = certificate("keys.example.com")
    (tmp_path / "both.pem").write_bytes(public + private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "both.pem")
    server = served(tls)
    try:
        port = server.server_port
        to_it = {"resolve": lambda *_: ["127.0.0.1"]}
        assert reason(f"https://keys.example.com:{port}/jwks", LOOPBACK, **to_it) == "certificate"
        trusting = ssl.create_default_context(cadata=public.decode())
        to_it["context"] = trusting
        assert fetch(f"https://keys.example.com:{port}/jwks", LOOPBACK, **to_it) == b'{"keys":[]}'
        assert reason(f"https://other.example.com:{port}/jwks", LOOPBACK, **to_it) == "certificate"
        assert reason(f"https://127.0.0.1:{port}/jwks", LOOPBACK, **to_it) == "certificate"
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
