"""Where a webhook is sent (T-161): judged addresses only, no redirect, in bounded time; the receiver of the docs."""

import ipaddress
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest

from authserver.delivery.https_client import post
from authserver.rules.events.addresses import address_fault, network_of
from authserver.rules.events.catalogue import EVENT_TYPES
from authserver.rules.events.signature import derived_secret, headers
from tests.support.processes import ROOT
from tests.support.server_certificates import certificate_file

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PRIVATE = [
    "127.0.0.1", "0.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::",
    "2001:0:1::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_is_refused_however_it_is_spelled(text):
    assert address_fault(ipaddress.ip_address(text), (), encrypted=True)


@pytest.mark.parametrize("text", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_a_public_address_gets_https_and_nothing_else(text):
    address = ipaddress.ip_address(text)
    assert address_fault(address, (), encrypted=True) == ""
    assert "https" in address_fault(address, (), encrypted=False)


def test_a_network_that_is_allowed_gets_also_plain_http():
    inside, outside = map(ipaddress.ip_address, ("10.8.1.1", "10.9.1.1"))
    allowed = (ipaddress.ip_network("10.8.0.0/16"),)
    assert address_fault(inside, allowed, encrypted=False) == ""
    assert address_fault(outside, allowed, encrypted=True)


@pytest.mark.parametrize(
    ("peer", "network"),
    [("203.0.113.7", "203.0.113.0/24"), ("::ffff:203.0.113.7", "203.0.113.0/24"),
     ("2001:db8:1:2::3", "2001:db8:1::/48"), ("", ""), ("unix:", "")],
)  # fmt: skip
def test_the_network_of_an_address(peer, network):
    assert network_of(peer) == network


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_nothing_is_sent_to_a_private_address_by_any_name(host):
    with listening(lambda _connection: pytest.fail("it was sent")) as port:
        answered = post(f"https://{host}:{port}/", {}, b"{}")
    assert answered.status is None
    assert "private" in answered.error or "no address" in answered.error


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch):
    """A name that resolves to another address a moment later (DNS rebinding) gains nothing."""
    asked = []

    def resolve(host, port, **_):
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    reached = []

    def connect(address, timeout=None):
        reached.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert "refused" in post("https://rebind.example.com/", {}, b"{}").error
    assert (asked, reached) == (["rebind.example.com"], [("93.184.216.34", 443)])


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "private" in post("https://both.example.com/", {}, b"{}").error


def read_all(connection):
    """Read a request to its end, so that closing sends no reset."""
    seen = b""
    while not seen.endswith(b"{}"):
        more = connection.recv(65536)
        if not more:
            return
        seen += more


@contextmanager
def listening(serve):
    """A port on loopback; ``serve`` gets each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_receiver_that_drips_is_cut_off():
    def drip(connection):
        read_all(connection)
        try:
            for _ in range(600):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n"[:1])
                time.sleep(0.05)
        except OSError:
            pass

    began = time.monotonic()
    with listening(drip) as port:
        answered = post(f"http://127.0.0.1:{port}/", {}, b"{}", allowed=LOOPBACK, seconds=0.5)
    assert answered.status is None
    assert "within 0.5 seconds" in answered.error
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", 302, "redirect"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 20000, 200, ""),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", None, "connection"),
        (b"nonsense\r\n\r\n", None, "connection"),
        (b"", None, "connection"),
    ],
)
def test_whatever_comes_back_is_told_and_never_raised(answer, status, error):
    def serve(connection):
        read_all(connection)
        connection.sendall(answer)

    with listening(serve) as port:
        answered = post(f"http://127.0.0.1:{port}/x?y", {"A": "b"}, b"{}", allowed=LOOPBACK)
    assert answered.status == status
    assert error in answered.error
    assert bool(error) == bool(answered.error)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, and who trusts it."""
    return certificate_file("localhost", tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize(("host", "trusted", "works"), [("localhost", True, True), ("localhost", False, False),
                                                        ("127.0.0.1", True, False)])  # fmt: skip
def test_a_certificate_is_checked_for_the_name(certificate, host, trusted, works):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)

    def serve(connection):
        try:
            with server.wrap_socket(connection, server_side=True) as secure:
                read_all(secure)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass

    context = ssl.create_default_context()
    if trusted:
        context.load_verify_locations(certificate)
    allowed = (*LOOPBACK, ipaddress.ip_network("::1/128"))
    with listening(serve) as port:
        answered = post(f"https://{host}:{port}/", {}, b"{}", allowed=allowed, context=context)
    assert (answered.status == 200) == works
    assert works or answered.error.startswith("certificate: ")


def test_the_receiver_of_the_docs_takes_ours_and_refuses_others():
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    receiver: dict = {}
    exec(block, receiver)  # noqa: S102 - the page is ours
    secret, other = derived_secret(b"p" * 32, "wh_1", 1), derived_secret(b"p" * 32, "wh_1", 2)
    body = b'{"type":"webhook.test","data":{}}'
    signed = headers([secret, other], "evt_1", 1000, body)

    def verified(with_secret=secret, at=1000, content=body):
        return receiver["verified"](with_secret, signed, content, now=lambda: at)

    assert verified()["type"] == verified(other)["type"] == "webhook.test"
    for wrong in ({"with_secret": derived_secret(b"p" * 32, "wh_2", 1)}, {"at": 1301}, {"at": 699}, {"content": b"{}"}):
        with pytest.raises(ValueError, match=r"secret|old"):
            verified(**wrong)


def test_the_page_names_every_type():
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", page, re.MULTILINE))
    assert told == dict(EVENT_TYPES)
