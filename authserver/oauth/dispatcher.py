"""The WSGI dispatcher: path -> endpoint, in front of the Flask application.

Every response of an endpoint is JSON and never a stack trace (INV-28). What holds for every endpoint is checked here,
before it: a private connection (TLS), the method, the size of headers and body, no NUL; and after it: the throttle.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from traceback import extract_tb
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from authserver.oauth.form import MAX_BODY
from authserver.oauth.http import (
    BadRequest,
    BodyStream,
    Endpoint,
    Headers,
    Request,
    Response,
    error_response,
    too_large,
)
from authserver.oauth.proxies.peer import ProxyTrust
from authserver.oauth.throttle import Throttle, Throttled
from authserver.ports.errors import Unavailable

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

MAX_HEADERS = 16 * 1024
_MAX_DIGITS = 9
_TOKEN = "/oauth/token"  # noqa: S105 - a path
_OAUTH_PREFIXES = ("/oauth/", "/auth/oauth/")


ANY_METHOD = "*"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_WITHOUT_CONTENT = frozenset({int(HTTPStatus.NOT_MODIFIED), int(HTTPStatus.NO_CONTENT)})
"""Of numbers: a set of members of the enumeration hashes each of them by its name, in Python."""


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, its one method or ``ANY_METHOD``, and its path in logs and metrics.

    An endpoint with ``most_streamed`` reads its body of at most so many bytes by itself. One for any method gets a
    body only where it says so by ``with_body``.
    """

    method: str
    path: str
    endpoint: Endpoint
    most_streamed: int = 0
    with_body: bool = False


def routes(
    posts: Mapping[str, Endpoint],
    gets: Mapping[str, Endpoint],
    issuer: str = "",
    any_method: Mapping[str, Endpoint] = MappingProxyType({}),
    streamed: Mapping[str, tuple[Endpoint, int]] = MappingProxyType({}),
    *,
    resources: Mapping[str, Endpoint] = MappingProxyType({}),
) -> dict[str, Route]:
    """One table of all paths; an endpoint for any method gets no body, unless it is one of ``resources``.

    Those that are ``streamed`` are for POST; each has the most bytes that its body may have.

    Where the issuer has a path, each endpoint is also served below it, and well-known
    documents before it too (RFC 8414 §3.1).
    """
    table = {path: Route("POST", path, endpoint) for path, endpoint in posts.items()}
    table |= {path: Route("GET", path, endpoint) for path, endpoint in gets.items()}
    table |= {path: Route(ANY_METHOD, path, endpoint) for path, endpoint in any_method.items()}
    table |= {path: Route("POST", path, endpoint, most) for path, (endpoint, most) in streamed.items()}
    table |= {path: Route(ANY_METHOD, path, endpoint, with_body=True) for path, endpoint in resources.items()}
    tenant = urlsplit(issuer).path
    if tenant:
        table |= {tenant + path: route for path, route in table.items()} | {
            path + tenant: route for path, route in table.items() if route.method == "GET"
        }
    return table


class Dispatcher:
    """Serves the machine routes itself and passes every other path on."""

    def __init__(
        self,
        table: Mapping[str, Route],
        wsgi_app: Wsgi,
        observe: Callable[[Request, Response, float], Response] | None = None,
        *,
        transport: ProxyTrust | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        """Make the WSGI callable.

        Args:
            table: made by ``routes``.
            wsgi_app: the WSGI application that gets every other path.
            observe: gets each request and response, and may add headers.
            transport: knows the trusted proxies; without it none is trusted.
            throttle: counts failures; one for all endpoints.
        """
        self._table, self._wsgi_app, self._observe = table, wsgi_app, observe
        self._any_case = {path.lower(): route for path, route in table.items() if path.lower().endswith(_TOKEN)}
        self._transport, self._throttle = transport or ProxyTrust(), throttle or Throttle()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        route = self._table.get(path) or self._case_insensitive(path)
        if route is None:
            return self._wsgi_app(environ, start_response)
        started_at = perf_counter()
        request, response = self._handle(environ, route)
        if response.failed_attempt is not None:
            limited = self._throttle.count(response.failed_attempt, request.peer)
            response = _too_many_requests(limited, response) if limited else response
        if self._observe is not None:
            response = self._observe(request, response, started_at)
        status, body = response.status, response.body
        headers = [*response.headers, _NO_SNIFFING]
        if status not in _WITHOUT_CONTENT:
            headers += (("Content-Type", response.content_type), ("Content-Length", str(len(body))))
        start_response(_STATUS[status], headers)
        return [b"" if request.method == "HEAD" else body]

    def _case_insensitive(self, path: str) -> Route | None:
        lower = path.lower()
        found = self._any_case.get(lower)
        if found is None and lower.startswith(_OAUTH_PREFIXES):
            return _NO_ENDPOINT
        return found

    def _handle(self, environ: dict[str, Any], route: Route) -> tuple[Request, Response]:
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        peer, private = self._transport.resolve_peer(environ)
        body: bytes = b""
        stream: BodyStream | None = None
        invalid: Response | None = None
        try:
            _check(environ, query, private=private)
            if method == "POST" == route.method:
                if route.most_streamed:
                    stream = _stream(environ, route.most_streamed)
                else:
                    body = _body(environ)
            elif route.with_body and method in _WITH_BODY:
                body = _body(environ)
        except BadRequest as error:
            invalid = error_response("invalid_request", str(error), error.status)
        certificate = self._transport.client_certificate(environ)
        request = Request(method, route.path, query, Headers(environ), body, peer, stream, certificate)
        return request, invalid or self._call(request, route)

    def _call(self, request: Request, route: Route) -> Response:
        if route is _NO_ENDPOINT:
            return route.endpoint(request)
        method, wanted = request.method, route.method
        if method != wanted and not (wanted == ANY_METHOD or (method == "HEAD" and wanted == "GET")):
            allowed = "GET, HEAD" if wanted == "GET" else wanted
            return error_response("invalid_request", f"Use {wanted}.", 405, (("Allow", allowed),))
        try:
            return route.endpoint(request)
        except BadRequest as error:
            return error_response("invalid_request", str(error), error.status)
        except Unavailable as error:
            return error_response(
                "temporarily_unavailable",
                "The server cannot tell now; try again shortly.",
                503,
                (("Retry-After", "2"),),
                {"reason": "unavailable", "detail": str(error)},
            )
        except Exception as error:  # noqa: BLE001 - no exception may reach the caller (INV-28)
            frame = extract_tb(error.__traceback__)[-1]
            # Where and what kind, never the message: it may hold what was sent.
            where = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
            return error_response(
                "server_error", "The server failed; its log says where.", 500, log_fields={"detail": where}
            )


def _not_found(_call: Request) -> Response:
    return error_response("invalid_request", "There is nothing at this address.", 404)


_NO_ENDPOINT = Route("", "", _not_found)

_THROTTLED_TEXTS = {
    "client_failures": "Too many failed attempts for this client. Check client id and secret, then try again later.",
    "peer_failures": "Too many failed attempts from your address. Check client id and secret, then try again later.",
    "bad_tokens": "Too many tokens that were not issued for this resource server. Try again later.",
}


def _too_many_requests(limited: Throttled, response: Response) -> Response:
    """429 instead of a refusal (RFC 6585 §4).

    For failed authentication the code stays ``invalid_client``, which it is (RFC
    6749 §5.2); for a token we will not judge now it is ``temporarily_unavailable``.
    """
    code = "temporarily_unavailable" if limited.rule == "bad_tokens" else "invalid_client"
    log_fields = {**response.log_fields, "outcome": "throttled", "reason": limited.rule}
    return error_response(code, _THROTTLED_TEXTS[limited.rule], 429, (("Retry-After", str(limited.wait)),), log_fields)


def _check(environ: Mapping[str, Any], query: str, *, private: bool) -> None:
    if not private:
        msg = "Use https. A proxy that ends TLS must be configured as trusted."
        raise BadRequest(msg)
    size = 0
    for name in environ:
        if "HTTP_" <= name < "HTTP`":  # quicker than a slice; servers put their whole environment in here
            size += len(name) + len(environ[name])
    if size > MAX_HEADERS:
        msg = "The headers may have 16 kB at most."
        raise BadRequest(msg, 431)
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None and (coding.strip().lower() != "chunked" or environ.get("CONTENT_LENGTH")):
        # RFC 9112 §6.3: where the body ends must not be a matter of opinion.
        msg = "Send Content-Length, or Transfer-Encoding: chunked; one of them and once."
        raise BadRequest(msg)
    if query and "\0" in unquote(query):
        msg = "A parameter holds a NUL character."
        raise BadRequest(msg)


def _size(environ: Mapping[str, Any], most: int) -> tuple[str, int]:
    """What the request declares, and how many bytes to read for it.

    Raises:
        BadRequest: it declares more than ``most``.
    """
    declared = environ.get("CONTENT_LENGTH") or ""
    if not declared:
        # Without a length only a server that marks the end may be read from; any other would wait for ever.
        size = most + 1 if environ.get("wsgi.input_terminated") else 0
    elif declared.isascii() and declared.isdigit() and len(declared) <= _MAX_DIGITS:
        size = int(declared)
    else:
        size = most + 1
    if declared and size > most:
        raise BadRequest(too_large(most), 413)
    return declared, size


def _stream(environ: Mapping[str, Any], most: int) -> BodyStream:
    declared, size = _size(environ, most)
    return BodyStream(environ["wsgi.input"], size if declared or not size else None, most)


def _body(environ: Mapping[str, Any]) -> bytes:
    declared, size = _size(environ, MAX_BODY)
    body: bytes = environ["wsgi.input"].read(size) if size else b""
    if len(body) < size:
        body = _read_on(environ["wsgi.input"], body, size)
    if len(body) > MAX_BODY:
        raise BadRequest(too_large(MAX_BODY), 413)
    if declared and len(body) < size:
        msg = "The request body ended early."
        raise BadRequest(msg)
    return body


_STATUS = {int(status): f"{status.value} {status.phrase}" for status in HTTPStatus}


def _read_on(stream: Any, body: bytes, size: int) -> bytes:
    while 0 < len(body) < size:
        more = stream.read(size - len(body))
        if not more:
            break
        body += more
    return body
