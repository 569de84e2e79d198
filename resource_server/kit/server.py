"""The throw-away issuer behind HTTP: Python's own server, in a thread."""

import base64
import binascii
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from resource_server.kit.issuer import BadReport, BadRequest, Issuer
from resource_server.kit.log import CursorTooOld
from resource_server.kit.signing import dump

_MAX_BODY = 4 * 1024 * 1024
_LONGEST_WAIT = 30.0


class IssuerServer(ThreadingHTTPServer):
    """Serves one issuer.

    Attributes:
        counts: requests by path.
        followed: paths under ``/steal/`` that were fetched: a verifier followed a link in a token.
        outage: None; or a status that everything is answered with; or "close", which ends each connection.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, issuer: Issuer, host: str = "127.0.0.1", port: int = 0) -> None:
        self.issuer = issuer
        self.counts: Counter[str] = Counter()
        self.followed: list[str] = []
        self.outage: int | str | None = None
        super().__init__((host, port), _Handler)
        self.url = f"http://{host}:{self.server_address[1]}"
        if not issuer.url:
            issuer.url = self.url

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is no news."""


@contextlib.contextmanager
def served(issuer: Issuer, host: str = "127.0.0.1", port: int = 0) -> Iterator[IssuerServer]:
    """Serve an issuer while the context lasts."""
    with IssuerServer(issuer, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    server: IssuerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: the report is what the kit says."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The issuer's time for the Date header."""
        return super().date_time_string(int(self.server.issuer.clock() if timestamp is None else timestamp))

    def do_GET(self) -> None:
        """Documents and the change feed."""
        path, query = self._begin()
        issuer = self.server.issuer
        if self._answer_outage():
            return
        if path.startswith("/steal/"):
            self.server.followed.append(path)
            self._answer(200, dump({"keys": []}))
        elif path == "/.well-known/jwks.json":
            self._answer_etag(dump(issuer.jwks()), "application/jwk-set+json", f"public, max-age={issuer.jwks_max_age}")
        elif path in {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}:
            self._answer(200, dump(_metadata(issuer)))
        elif path == "/oauth/changes" and self._known_caller():
            self._changes(query)
        elif path != "/oauth/changes":
            self._answer(404, dump({"error": "not_found"}))

    def do_POST(self) -> None:
        """Introspection and usage reports."""
        path, _ = self._begin()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, _MAX_BODY))
        if self._answer_outage():
            return
        if path == "/oauth/token":
            self._granted(body)
        elif path not in {"/oauth/introspect", "/oauth/usage"}:
            self._answer(404, dump({"error": "not_found"}))
        elif self._known_caller():
            self._introspected(body) if path == "/oauth/introspect" else self._reported(body)

    def _begin(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        self.server.counts[parts.path] += 1
        return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}

    def _answer_outage(self) -> bool:
        outage = self.server.outage
        if isinstance(outage, int):
            self._answer(outage, b"{}")
        elif outage:
            self.close_connection = True
        return outage is not None

    def _known_caller(self) -> bool:
        """Whether HTTP Basic names the API that is tested; else it has been answered."""
        if self._basic() == self.server.issuer.api:
            return True
        self._answer(401, dump({"error": "invalid_client"}), ("WWW-Authenticate", 'Basic realm="kit"'))
        return False

    def _basic(self) -> tuple[str, str] | None:
        """Who calls, by HTTP Basic."""
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            name, _, secret = base64.b64decode(text).decode().partition(":")
            if scheme.lower() == "basic":
                return unquote_plus(name), unquote_plus(secret)
        return None

    def _granted(self, body: bytes) -> None:
        issuer = self.server.issuer
        form = {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}
        credentials = self._basic() or (form.get("client_id", ""), form.get("client_secret", ""))
        if credentials != (issuer.client_id, issuer.client_secret):
            self._answer(401, dump({"error": "invalid_client"}), ("WWW-Authenticate", 'Basic realm="kit"'))
            return
        try:
            self._answer(200, dump(issuer.grant(form)), ("Cache-Control", "no-store"))
        except BadRequest as error:
            self._answer(400, dump({"error": str(error)}))

    def _introspected(self, body: bytes) -> None:
        form = parse_qs(body.decode("ascii", "replace"))
        answer = self.server.issuer.introspect(form.get("token", [""])[0])
        cache = f"private, max-age={answer['lease_seconds']}" if answer["active"] else "no-store"
        self._answer(200, dump(answer), ("Cache-Control", cache))

    def _reported(self, body: bytes) -> None:
        try:
            answer = self.server.issuer.report(json.loads(body))
        except (BadReport, ValueError) as error:
            self._answer(400, dump({"error": "invalid_request", "error_description": str(error)}))
        else:
            self._answer(200, dump(answer))

    def _changes(self, query: dict[str, str]) -> None:
        wait = min(float(query.get("wait", "0")), _LONGEST_WAIT)
        try:
            text = self.server.issuer.changes(query.get("after", ""), wait)
        except CursorTooOld:
            self._answer(410, dump({"error": "cursor_too_old"}))
            return
        self._answer_etag(str(text).encode(), "application/jwt", "private, no-cache")

    def _answer_etag(self, body: bytes, media: str, cache: str) -> None:
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (("ETag", tag), ("Cache-Control", cache))
        if self.headers.get("If-None-Match") == tag:
            self._answer(304, b"", *headers)
        else:
            self._answer(200, body, *headers, media=media)

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str], media: str = "application/json") -> None:
        with contextlib.suppress(OSError):  # the caller may have gone
            self.send_response(status)
            if status != 304:  # noqa: PLR2004 - RFC 9110 §15.4.5: no body
                self.send_header("Content-Type", media)
                self.send_header("Content-Length", str(len(body)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            if status != 304:  # noqa: PLR2004 - the same
                self.wfile.write(body)


def _metadata(issuer: Issuer) -> dict[str, object]:
    return {
        "issuer": issuer.url,
        "jwks_uri": f"{issuer.url}/.well-known/jwks.json",
        "introspection_endpoint": f"{issuer.url}/oauth/introspect",
        "token_endpoint": f"{issuer.url}/oauth/token",
        "authorization_endpoint": f"{issuer.url}/oauth/authorize",  # there is none; SDKs refuse metadata without it
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
        "id_token_signing_alg_values_supported": [issuer.alg],
        "subject_types_supported": ["public"],
    }
