"""Sends audit records to a syslog collector: UDP (RFC 5426), TCP with octet counting (RFC 6587), or TLS (RFC 5425)."""

import os
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from authserver.audit import Record
from authserver.audit_export.siem import syslog
from authserver.ports.errors import Invalid, Unavailable

SECONDS: Final = 10.0
"""For a connection, and for the collector to take what it is sent."""

_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}
MAX_DATAGRAM: Final = 60_000
"""Bytes; a longer message fits in no datagram, so it is cut, and the collector's copy says so by its end."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Where to: ``udp``, ``tcp`` or ``tls``, host and port; ``ca`` is a file of certificates, or the system's."""

    transport: str
    host: str
    port: int
    ca: str | None = None


def collector(url: str, ca: str | None = None) -> Collector:
    """Read ``udp://HOST``, ``tcp://HOST:PORT`` or ``tls://HOST``; the port is that of the RFC where none is given.

    Raises:
        Invalid: it is none of these.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in _PORTS or not parts.hostname or rest:
        raise Invalid("a syslog collector is udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT")
    return Collector(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], ca)


class SyslogSink:
    """One connection to a collector, opened with the first record and again after a failure."""

    def __init__(self, to: Collector) -> None:
        self._to = to
        self._socket: socket.socket | None = None
        self._host, self._process = socket.gethostname(), str(os.getpid())

    def send(self, record: Record, text: str) -> None:
        """Hand over one record, as a line of a format.

        Raises:
            Unavailable: it was not taken; the record is to be sent again.
        """
        message = syslog(record, text, host=self._host, process=self._process)
        try:
            if self._socket is None:
                self._socket = self._connect()
            if self._to.transport == "udp":
                self._socket.send(message[:MAX_DATAGRAM])
            else:
                self._require_open(self._socket)
                self._socket.sendall(b"%d %b" % (len(message), message))
        except OSError as error:
            self.close()
            raise Unavailable(f"the syslog collector {self._to.host}:{self._to.port} does not take it") from error

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        to = self._to
        if to.transport == "udp":
            family, kind, proto, _, address = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, proto)
            datagrams.connect(address)
            return datagrams
        plain = socket.create_connection((to.host, to.port), timeout=SECONDS)
        if to.transport == "tcp":
            return plain
        try:
            return ssl.create_default_context(cafile=to.ca).wrap_socket(plain, server_hostname=to.host)
        except BaseException:
            plain.close()
            raise

    @staticmethod
    def _require_open(connection: socket.socket) -> None:
        """Notice a collector that has closed: it would swallow the next record, and no error would say so."""
        connection.settimeout(0)
        try:
            if connection.recv(4096) == b"":
                raise ConnectionResetError
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            connection.settimeout(SECONDS)
