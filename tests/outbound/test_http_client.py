"""The one way out to an address that somebody else chose: what its three users share (T-161)."""

import http.client
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from authserver.http_client import AddressRefused, DeadlinePassed, Limits, UnknownHost, send
from tests.support.deadlines import SECONDS, wait_until

QUICK = Limits(total_seconds=0.3, step_seconds=SECONDS, most_bytes=8)
PATIENT = Limits(total_seconds=SECONDS, step_seconds=SECONDS, most_bytes=8)
ONE = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\n123456789"


def anything(_address):
    return ""


def get(url, limits=PATIENT, judge=anything, **more):
    return send("GET", url, {}, judge=judge, limits=limits, **more)


@contextmanager
def server(*answers, held=False):
    """A port that answers each connection, or takes it and says nothing; yields it with what was sent there."""
    got, kept = [], []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run():
            for answer in answers:
                connection, _ = listening.accept()
                got.append(connection.recv(65536))
                connection.sendall(answer)
                kept.append(connection) if held else connection.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listening.getsockname()[1], got
        thread.join(SECONDS)
        for each in kept:
            each.close()


def test_a_request_has_no_more_than_it_was_given_and_an_answer_no_more_than_the_limit():
    with server(ONE) as (port, got):
        answer = get(f"http://localhost:{port}/a?b=c", resolve=lambda *_: ["127.0.0.1"])
    assert (answer.status, answer.body, answer.is_whole, answer.headers["retry-after"]) == (
        200,
        b"12345678",
        False,
        "7",
    )
    head = got[0].decode().splitlines()
    assert head[0] == "GET /a?b=c HTTP/1.1"
    assert set(head[1:]) == {f"Host: localhost:{port}", "Accept-Encoding: identity", "Connection: close", ""}


def test_the_next_address_is_taken_where_the_first_does_not_answer():
    with server(ONE) as (port, _), socket.create_server(("127.0.0.2", 0)) as other:
        assert port != other.getsockname()[1]
        assert get(f"http://two.example.com:{port}/", resolve=lambda *_: ["127.0.0.2", "127.0.0.1"]).status == 200


def test_every_address_is_judged_before_any_is_connected_to():
    def judge(address):
        return "inside" if str(address) == "10.0.0.1" else ""

    with pytest.raises(AddressRefused, match="inside"):
        get("http://x.example.com:9/", judge=judge, resolve=lambda *_: ["127.0.0.1", "10.0.0.1"])
    with pytest.raises(AddressRefused, match="no address"):
        get("http://x.example.com:9/", resolve=lambda *_: ["0x7f.1"])
    with pytest.raises(UnknownHost):
        get("http://x.example.com:9/", resolve=lambda *_: [])


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_time_is_over_and_the_connection_closed_also_while_tls_is_agreed_on(sent, scheme):
    before = {each.ident for each in threading.enumerate()}
    with server(sent if scheme == "http" else b"\x16", held=True) as (port, _), pytest.raises(DeadlinePassed):
        get(f"{scheme}://localhost:{port}/", QUICK, resolve=lambda *_: ["127.0.0.1"])
    wait_until(
        "its thread to end",
        lambda: not [each for each in threading.enumerate() if each.name == "http-client" and each.ident not in before],
    )


def test_a_name_that_nobody_answers_for_takes_no_longer_than_all():
    asked = threading.Event()
    with pytest.raises(DeadlinePassed):
        get("http://slow.example.com/", QUICK, resolve=lambda *_: asked.wait(SECONDS) and [])
    asked.set()


@pytest.mark.parametrize(
    ("answer", "fault"), [(b"", OSError), (b"nonsense\r\n\r\n", http.client.HTTPException), (b"HTTP/1.1 2", OSError)]
)
def test_what_is_no_answer_is_an_error(answer, fault):
    with server(answer) as (port, _), pytest.raises((fault, http.client.HTTPException)):
        get(f"http://127.0.0.1:{port}/")


def test_what_speaks_no_tls_gets_nothing():
    with server(ONE) as (port, got), pytest.raises(ssl.SSLError):
        get(f"https://localhost:{port}/secret", resolve=lambda *_: ["127.0.0.1"])
    assert b"secret" not in got[0]
