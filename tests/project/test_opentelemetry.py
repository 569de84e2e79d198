"""Spans and metrics by OpenTelemetry, read from the SDK's own exporters in memory."""

import gzip
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from werkzeug.test import Client

from authserver.ports.errors import Invalid, Unavailable
from authserver.telemetry.otel import configure
from authserver.telemetry.outgoing import outgoing_request
from tests.conftest import World
from tests.support import databases
from tests.support.processes import ROOT
from tests.support.wsgi_client import BACKENDS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Traced(World):
    """A server whose spans and numbers stay in memory."""

    def __init__(self, url, **options):
        super().__init__(url)
        self.spans, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False, **options)
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.services.otel_providers = (tracers, MeterProvider([self.reader], shutdown_on_exit=False))
        self.http = Client(self.services.traced(self.services.wsgi()))
        self.access_token()  # the first one also loads the key

    def finished(self):
        """The spans since the last time: the one of the request, and those below it."""
        spans = self.spans.get_finished_spans()
        self.spans.clear()
        [top] = [span for span in spans if span.kind.name == "SERVER"]
        below = [span for span in spans if span is not top]
        assert all(span.parent.span_id == top.context.span_id for span in below)
        return top, below

    def numbers(self):
        """Metric name -> its points, as attributes and value (the count, of a histogram)."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = [
                        (dict(each.attributes), getattr(each, "value", None) or getattr(each, "count", 0))
                        for each in metric.data.data_points
                    ]
                    found[metric.name] = points
        return found


@pytest.fixture(scope="module", params=BACKENDS)
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opentelemetry")
    traced = Traced(databases.fresh_sqlite_url(folder) if request.param == "sqlite" else databases.fresh_postgres_url())
    traced.system = request.param
    yield traced
    traced.services.close()


@pytest.fixture(autouse=True)
def _no_spans_before(request):
    if "world" in request.fixturenames:
        request.getfixturevalue("world").spans.clear()


def named(spans):
    return sorted(span.name for span in spans)


def test_a_token_request_is_a_span_with_its_statement_and_its_signature(world):
    world.access_token()
    top, below = world.finished()
    assert top.name == "POST /oauth/token"
    assert named(below) == ["SELECT", "sign"]
    assert dict(top.attributes) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/oauth/token",
        "http.response.status_code": 200,
        "oauth.outcome": "granted",
    }
    [statement] = [span for span in below if span.name == "SELECT"]
    assert statement.attributes["db.system.name"] == world.system
    assert "credentials" in statement.attributes["db.query.text"]
    assert top.parent is None


def test_an_introspection_is_one_statement(world):
    token = world.access_token()
    world.spans.clear()
    assert world.active(token)
    top, below = world.finished()
    assert (top.name, named(below)) == ("POST /oauth/introspect", ["SELECT"])


def test_the_trace_of_the_caller_goes_on_and_its_baggage_does_not(world):
    sent = {"traceparent": TRACEPARENT, "baggage": "user=ada"}
    world.http.post("/oauth/token", data={"grant_type": "x"}, headers=sent)
    top, _ = world.finished()
    assert f"{top.context.trace_id:032x}" == TRACE
    assert f"{top.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert not [name for name in top.attributes if "ada" in str(top.attributes[name])]


@pytest.mark.parametrize("bad", ["", "00-0-0-0", "ff-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000])
def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(world, bad):
    answer = world.http.post("/oauth/token", data={"grant_type": "x"}, headers={"traceparent": bad})
    assert answer.status_code == 400
    assert world.finished()[0].parent is None


def test_no_span_holds_what_was_sent(world):
    secret = world.client[1]
    token = world.access_token()
    world.introspect(token)
    world.token(("no-such-client", "acs_guessed"), scope="typed-scope")
    world.http.get("/console/typed-path?typed=query").close()
    seen = "".join(f"{span.name} {dict(span.attributes)}" for span in world.spans.get_finished_spans())
    for sent in (secret, token, token.partition(".")[0], world.client[0], "no-such-client", "acs_", "typed"):
        assert sent not in seen


def test_a_refusal_says_why_to_those_who_read_traces(world):
    world.token((world.client[0], "acs_wrong"))
    top, _ = world.finished()
    assert top.attributes["oauth.outcome"] == "invalid_client"
    assert top.attributes["oauth.reason"] == "malformed_secret"
    assert top.status.status_code.name == "UNSET"


def test_a_fault_is_an_error_that_tells_its_kind_only(world, monkeypatch):
    def gone(*_arguments):
        raise Unavailable("the database of secret.example cannot be reached")

    monkeypatch.setattr(type(world.store.hot_path), "issue_facts", gone)
    assert world.token().status_code == 503
    top, _ = world.finished()
    assert (top.status.status_code.name, top.attributes["error.type"]) == ("ERROR", "503")
    assert "secret.example" not in str(top.attributes)


def test_a_page_is_named_by_its_route_with_the_statements_of_the_pool_below(world):
    world.http.get("/console/sign-in").close()
    top, below = world.finished()
    assert top.name.startswith("GET /console/")
    assert top.attributes["http.response.status_code"] == 200
    assert not [span for span in below if span.kind.name != "CLIENT"]
    world.http.get("/console/there-is-no-such-page").close()
    assert "no-such-page" not in world.finished()[0].name


def test_what_watches_the_server_is_not_traced(world):
    for path in ("/livez", "/readyz"):
        assert world.http.get(path).status_code == 200
    assert not world.spans.get_finished_spans()


def test_a_request_that_goes_out_carries_the_trace(world, monkeypatch):
    sent = []

    def asks_somebody(_request):
        with outgoing_request("GET", "idp.example") as headers:
            sent.append(dict(headers))
        raise Unavailable("so far")

    monkeypatch.setattr(type(world.store.hot_path), "issue_facts", lambda *_: asks_somebody(None))
    world.token()
    top, below = world.finished()
    [out] = [span for span in below if span.attributes.get("server.address") == "idp.example"]
    [headers] = sent
    assert headers.keys() == {"traceparent"}
    assert headers["traceparent"].startswith(f"00-{top.context.trace_id:032x}-{out.context.span_id:016x}-0")
    with outgoing_request("GET", "idp.example") as headers:
        assert headers == {}


def test_the_log_line_names_the_trace(world, capsys):
    world.access_token()
    top, _ = world.finished()
    world.services._observer._log.flush()
    assert f'"trace_id":"{top.context.trace_id:032x}"' in capsys.readouterr().err


def test_metrics_are_those_of_prometheus_and_the_time_of_each_request(world):
    world.services._observer.drain()
    granted = {"grant_type": "client_credentials", "outcome": "granted", "reason": ""}
    before = sum(value for at, value in world.numbers().get("oauth_token_requests", ()) if at == granted)
    world.access_token()
    world.services._observer.drain()
    numbers = world.numbers()
    assert [value for at, value in numbers["oauth_token_requests"] if at == granted] == [before + 1]
    [(route, count)] = [
        (at, value)
        for at, value in numbers["http.server.request.duration"]
        if at.get("http.route") == "/oauth/token" and at["http.response.status_code"] == 200
    ]
    assert route["http.request.method"] == "POST"
    assert count >= 1
    assert numbers["oauth_credentials"][0][0].keys() == {"state"}


def test_a_request_that_is_not_sampled_pays_for_no_statement(tmp_path):
    quiet = Traced(databases.fresh_sqlite_url(tmp_path), sampler=ALWAYS_OFF)
    try:
        quiet.access_token()
        assert not quiet.spans.get_finished_spans()
        assert quiet.numbers()["http.server.request.duration"]
    finally:
        quiet.services.close()


# --- what the environment asks for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"OTEL_SERVICE_NAME": "auth"}, {}),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {"METRICS": "otlp"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {"TRACES": "otlp", "METRICS": "otlp"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, {"TRACES": "otlp"}),
        ({"OTEL_TRACES_EXPORTER": "console"}, {"TRACES": "console"}),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, {}),
    ],
)
def test_what_the_environment_asks_for(environ, expected):
    assert configure.requested(environ) == expected
    configure.check(environ)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER: no exporter 'jaeger' is installed"),
        ({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'otlp_proto_grpc'"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "'smoke'"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(environ, told):
    with pytest.raises(Invalid, match=told):
        configure.check(environ)


def test_without_the_packages_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(configure.importlib.util, "find_spec", lambda _name: None)
    configure.check({})
    with pytest.raises(Invalid, match=r"not installed: pip install --require-hashes -r requirements-otel.txt"):
        configure.check({"OTEL_TRACES_EXPORTER": "otlp"})


PROGRAM = """
import os, sys
sys.argv = ["app.py"]
from authserver.telemetry.otel import configure
found = configure.started("1.2.3")
assert (found is None) == (not configure.requested(os.environ))
loaded = sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry")
print(loaded[:1], "HEADERS" in "".join(os.environ))
if found:
    resource = found[0].resource.attributes
    print(resource["service.name"], resource["service.version"], len(resource["service.instance.id"]))
    with found[0].get_tracer("x").start_as_current_span("made"):
        pass
    configure.stop(found)
"""


def run(environ):
    kept = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    command, env = [sys.executable, "-c", PROGRAM], kept | environ
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_where_nobody_asks_nothing_is_loaded():
    assert run({}) == "[] False\n"


def test_the_sdk_is_set_up_by_its_own_variables():
    told = run({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=geheim"})
    assert "authserver 1.2.3 36" in told
    assert '"name": "made"' in told
    assert "False" in told.splitlines()[0]
    assert "geheim" not in told
    assert "mine 1.2.3 36" in run({"OTEL_TRACES_EXPORTER": "console", "OTEL_SERVICE_NAME": "mine"})


class Collector(BaseHTTPRequestHandler):
    """Takes what OTLP over HTTP sends, and reads it by OpenTelemetry's own messages."""

    def do_POST(self):
        message = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}[self.path]()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message.ParseFromString(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.server.received.append((self.headers.get("x-key"), message))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        pass


def test_spans_arrive_by_otlp_with_the_configured_header():
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.received = []
        Thread(target=server.serve_forever, daemon=True).start()
        run(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "OTEL_EXPORTER_OTLP_HEADERS": "x-key=geheim",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            }
        )
        server.shutdown()
    traces = [message for _key, message in server.received if isinstance(message, ExportTraceServiceRequest)]
    [resource] = [each for message in traces for each in message.resource_spans]
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.name"] == "authserver"
    assert attributes["service.version"] == "1.2.3"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["made"]
    assert {key for key, _message in server.received} == {"geheim"}
