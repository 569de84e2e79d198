"""What a SIEM gets: OCSF, CEF and syslog, each record at least once and in order, also after a failure."""

import contextlib
import datetime as dt
import json
import re
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from authserver.audit import Event, Record
from authserver.audit_export.siem import FORMATS, cef, ocsf, syslog
from authserver.audit_export.syslog_sink import SyslogSink, collector
from authserver.audit_export.vocabulary import EVENTS
from authserver.ports.errors import Invalid, Unavailable
from tests.conftest import World
from tests.support import stores
from tests.support.shell import Shell

MESSAGE = re.compile(r'<(\d+)>1 (\S+) (\S+) authserver (\d+) (\S+) \[meta sequenceId="(\d+)"\] \ufeff(.*)', re.DOTALL)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(stores.migrated_url("sqlite", tmp_path_factory.mktemp("follow")))
    yield world
    world.services.close()


@pytest.fixture
def shell(world):
    return Shell(world.app)


def certificate(path):
    """A self-signed certificate for localhost, and its key, in one file."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def record(event="user.created", target="x", detail="{}", seq=7):
    return Record(seq, 1_800_000_000, "cli:x", event, target, detail, "0" * 64, "1" * 64)


class Listener:
    """A collector that keeps what it is sent, over TCP or UDP, and can hang up."""

    def __init__(self, transport="tcp", context=None):
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind(("127.0.0.1", 0))
        self.context, self.transport, self.data, self.connections = context, transport, b"", []
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
            self.thread = threading.Thread(target=self._accept, daemon=True)
            self.thread.start()

    @property
    def url(self):
        return f"{self.transport}://localhost:{self.socket.getsockname()[1]}"

    def _accept(self):
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                return
            try:
                if self.context is not None:
                    connection = self.context.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
                while part := connection.recv(65536):
                    self.data += part
            except OSError:
                continue

    def messages(self, number):
        """The first messages, octet counted (RFC 6587 §3.4.1)."""
        if self.transport == "udp":
            self.socket.settimeout(60)
            return [self.socket.recv(65536).decode() for _ in range(number)]
        found = []
        for _ in range(6000):
            found, rest = [], self.data
            while match := re.match(rb"(\d+) ", rest):
                end = match.end() + int(match[1])
                if len(rest) < end:
                    break
                found.append(rest[match.end() : end].decode())
                rest = rest[end:]
            if len(found) >= number:
                return found
            threading.Event().wait(0.01)
        raise AssertionError(self.data)

    def close(self):
        if self.transport != "udp":
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for connections
            for each in self.connections:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self.thread.join(60)
        for each in (self.socket, *self.connections):
            each.close()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_every_event_has_what_its_class_of_ocsf_demands(name):
    detail = {"user": "usr_1", "role": "reader", "peer": "192.0.2.1", "client": "c", "reason": "r", "name": "n"}
    told = json.loads(ocsf(record(name, "t", json.dumps(detail))))
    assert told["type_uid"] == told["class_uid"] * 100 + told["activity_id"]
    assert (told["category_uid"], told["time"], told["metadata"]["sequence"]) == (3, 1_800_000_000_000, 7)
    assert told["severity_id"] in {1, 3}
    assert told["status_id"] == (2 if name.endswith(".refused") else 1)
    assert {3001: "user", 3002: "user", 3004: "entity", 3005: "privileges"}[told["class_uid"]] in told
    assert told["unmapped"]["detail"] == detail
    assert (told["src_endpoint"]["ip"], told["actor"]["app_uid"]) == ("192.0.2.1", "c")


def test_an_event_of_a_newer_vocabulary_is_handed_on():
    for make in FORMATS.values():
        assert "new.thing" in make(record("new.thing"))


def test_nothing_in_a_record_breaks_out_of_its_member_in_cef():
    hostile = 'a|b=c\\d\r\ne src=1 "é'
    line = cef(record("odd|name", hostile, json.dumps({"reason": hostile, "peer": "2001:db8::1"})))
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert "\r" not in line
    header = re.split(r"(?<!\\)\|", line, maxsplit=7)
    assert len(header) == 8
    assert header[4] == "odd\\|name"
    assert "a|b\\=c\\\\d\\r\\ne src\\=1" in header[7]
    assert "c6a2=2001:db8::1" in header[7]
    assert "externalId=7 " in header[7]


def test_a_message_of_syslog_is_as_rfc_5424_has_it():
    text = syslog(record("user.disabled", seq=2**31), "{}\n", host="h öst", process="12").decode()
    match = MESSAGE.fullmatch(text)
    assert match, text
    priority, at, host, process, name, sequence, said = match.groups()
    assert (priority, at, host, process) == ("108", "2027-01-15T08:00:00Z", "hst", "12")
    assert (name, sequence, said) == ("user.disabled", "1", "{}")
    long = syslog(record("resource_server.jwks_client_named"), "x", host="", process="1").decode()
    assert long.startswith("<109>1 ")
    assert " - authserver 1 resource_server.jwks_client_name [" in long


def test_it_goes_on_where_it_ended(world, shell, tmp_path):
    state = tmp_path / "state"
    records = list(world.accounts.audit_records())
    said = shell("audit", "follow", "--once", "--state", state)
    assert [json.loads(line)["seq"] for line in said.out.splitlines()] == [each.seq for each in records]
    assert state.read_text() == f"{records[-1].seq}\n"
    assert shell("audit", "follow", "--once", "--state", state).out == ""
    with world.accounts.change(Event("role.created", "test", "rol_9", {}), world.clock.at):
        pass
    assert '"target":"rol_9"' in shell("audit", "follow", "--once", "--state", state).out
    assert len(shell("audit", "follow", "--once", "--after", 3, "--format", "cef").out.splitlines()) == len(records) - 2
    state.write_text("x")
    assert shell("audit", "follow", "--once", "--state", state).code == 6


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_collector_gets_each_record_in_order(world, shell, transport):
    listener = Listener(transport)
    records = list(world.accounts.audit_records())
    said = shell("audit", "follow", "--once", "--format", "ocsf", "--syslog", listener.url)
    assert said.code == 0, said
    told = [MESSAGE.fullmatch(each) for each in listener.messages(len(records))]
    listener.close()
    assert [int(each[6]) for each in told] == [each.seq for each in records]
    assert [json.loads(each[7])["metadata"]["uid"] for each in told] == [each.hash for each in records]


def test_a_collector_that_is_gone_costs_no_record(world, shell, tmp_path):
    with socket.socket() as nobody:  # bound, and never listening
        nobody.bind(("127.0.0.1", 0))
        url, state = f"tcp://127.0.0.1:{nobody.getsockname()[1]}", tmp_path / "state"
    said = shell("audit", "follow", "--once", "--syslog", url, "--state", state)
    assert (said.code, state.exists()) == (7, False)
    assert "does not take it" in said.err
    again = Listener()
    sink = SyslogSink(collector(again.url))
    sink.send(record(), "one")
    again.messages(1)
    again.connections[0].shutdown(socket.SHUT_RDWR)
    for _ in range(6000):  # until the end of the connection has arrived
        try:
            sink.send(record(seq=8), "two")
        except Unavailable:
            break
        threading.Event().wait(0.01)
    else:
        raise AssertionError
    sink.send(record(seq=9), "three")
    assert any("three" in each for each in again.messages(2))
    sink.close()
    again.close()


def test_over_tls_the_collector_proves_itself(shell, tmp_path):
    chain = certificate(tmp_path / "localhost.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    listener = Listener("tls", context)
    sink = SyslogSink(collector(listener.url, str(chain)))
    sink.send(record(), "secret")
    assert "secret" in listener.messages(1)[0]
    sink.close()
    with pytest.raises(Unavailable):
        SyslogSink(collector(listener.url)).send(record(), "to nobody")
    listener.close()


@pytest.mark.parametrize("url", ["", "http://x", "tls://", "tcp://x:99999", "udp://x/path", "tcp://me@x", "x:514"])
def test_what_is_no_collector_is_refused(shell, url):
    with pytest.raises(Invalid):
        collector(url)
    assert shell("audit", "follow", "--once", "--syslog", url).code == 6


def test_certificates_go_with_tls_alone(shell, tmp_path):
    file = tmp_path / "ca.pem"
    file.touch()
    assert shell("audit", "follow", "--once", "--ca", file, "--syslog", "udp://x").code == 2
