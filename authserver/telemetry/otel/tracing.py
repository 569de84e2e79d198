"""A span for each request, with the statements and signatures that it needed below it.

Names and attributes are those of the semantic conventions. No attribute holds what a caller sent: the route and never
the path, the text of a statement and never its values, outcomes and reasons of closed sets.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from authserver.telemetry.outgoing import BEGIN

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = ("/livez", "/readyz", "/metrics")
_SERVER_ERROR = 500

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(slots=True)
class Exchange:
    """One request while it is answered; the route becomes known on the way."""

    span: Span
    method: str
    began: float
    route: str = ""
    status: int = 0


_CURRENT: ContextVar[Exchange | None] = ContextVar("traced_exchange", default=None)


class Tracing:
    """Makes spans by a tracer; ``ended`` is told each request when it is answered."""

    def __init__(self, tracer: trace.Tracer, ended: Callable[[Exchange, float], None]) -> None:
        """Take the tracer, and what gets each request with the seconds that it took."""
        self._tracer, self._ended = tracer, ended

    def middleware(self, app: Wsgi) -> Wsgi:
        """The same application with a span around each request, below the ``traceparent`` that came with it."""

        def traced(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO", "").endswith(_QUIET):
                return app(environ, start_response)
            given = environ["REQUEST_METHOD"]
            method = given if given in _METHODS else "_OTHER"
            # Baggage of strangers goes no further: only the trace is taken over.
            parent = baggage.clear(propagate.extract(environ, getter=_HEADERS))
            attributes = {"http.request.method": method, "url.scheme": environ.get("wsgi.url_scheme", "http")}
            span = self._tracer.start_span(method, parent, kind=SpanKind.SERVER, attributes=attributes)
            exchange = Exchange(span, method, perf_counter())
            tokens = context.attach(trace.set_span_in_context(span, parent)), _CURRENT.set(exchange)
            outgoing = BEGIN.set(self._outgoing)

            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                exchange.status = int(status[:3])
                return start_response(status, headers, *rest)

            try:
                body = app(environ, start)
            except BaseException:
                exchange.status = exchange.status or _SERVER_ERROR
                self._end(exchange)
                raise
            finally:
                BEGIN.reset(outgoing)
                _CURRENT.reset(tokens[1])
                context.detach(tokens[0])
            if isinstance(body, list | tuple):
                self._end(exchange)
                return body
            return _Closing(body, lambda: self._end(exchange))

        return traced

    def _end(self, exchange: Exchange) -> None:
        span, status = exchange.span, exchange.status
        if span.is_recording():
            span.set_attribute("http.response.status_code", status)
            if exchange.route:
                span.set_attribute("http.route", exchange.route)
                span.update_name(f"{exchange.method} {exchange.route}")
            if status >= _SERVER_ERROR:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))
        # Measured while the span is the current one, so that a reader of metrics finds its trace (exemplars).
        token = context.attach(trace.set_span_in_context(span))
        self._ended(exchange, perf_counter() - exchange.began)
        context.detach(token)
        span.end()

    @staticmethod
    def route(name: str, fields: Mapping[str, str]) -> str:
        """Tell the request under way which route it took, and how it ended; the id of its trace, or empty."""
        exchange = _CURRENT.get()
        if exchange is None:
            return ""
        exchange.route = name
        for field in ("outcome", "reason"):
            if fields.get(field):
                exchange.span.set_attribute(f"oauth.{field}", fields[field])
        traced = exchange.span.get_span_context()
        return trace.format_trace_id(traced.trace_id) if traced.trace_flags.sampled else ""

    def begin_statement(self, sql: str, system: str) -> Callable[[BaseException | None], None] | None:
        """Begin the span of a statement of the request under way; what ends it, or None where nobody records."""
        if not trace.get_current_span().is_recording():
            return None
        operation = sql.lstrip()[:24].partition(" ")[0].upper()
        attributes = {"db.system.name": system, "db.operation.name": operation, "db.query.text": sql}
        span = self._tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes)
        return lambda error: _end_with(span, error)

    def signature(self, sign: Callable[_P, _R]) -> Callable[_P, _R]:
        """The same function with a span around each signature of the request under way."""

        @wraps(sign)
        def traced(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if not trace.get_current_span().is_recording():
                return sign(*args, **kwargs)
            span = self._tracer.start_span("sign")
            try:
                signed = sign(*args, **kwargs)
            except BaseException as error:
                _end_with(span, error)
                raise
            _end_with(span, None)
            return signed

        return traced

    @contextmanager
    def _outgoing(self, method: str, host: str) -> Iterator[Mapping[str, str]]:
        attributes = {"http.request.method": method, "server.address": host}
        with self._tracer.start_as_current_span(
            method, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
        ):
            headers: dict[str, str] = {}
            propagate.inject(headers)
            yield headers


def _end_with(span: Span, error: BaseException | None) -> None:
    if error is not None:
        # The kind and not the text, which may hold a value.
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


class _WsgiHeaders:
    """Reads headers where WSGI puts them."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [name[5:].replace("_", "-").lower() for name in carrier if name.startswith("HTTP_")]


_HEADERS: Any = _WsgiHeaders()


class _Closing:
    """A body that is sent piece by piece; the request is over when it is closed."""

    def __init__(self, body: Iterable[bytes], end: Callable[[], None]) -> None:
        self._body, self._end = body, end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._end()
