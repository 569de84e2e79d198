"""The numbers that Prometheus reads, by the same names, and the time of each request by the semantic conventions."""

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from prometheus_client.metrics_core import Metric

from authserver.telemetry.metrics import BUCKETS, DENIAL_BUCKETS, GAUGES, GaugeSource
from authserver.telemetry.otel.tracing import Exchange

_SERVER_ERROR = 500

Observe = Callable[[CallbackOptions], Iterable[Observation]]


class OtelMetrics:
    """Instruments of one meter; counters and gauges are read when they are exported, from this process's own."""

    def __init__(
        self, meter: Meter, families: Callable[[], Iterable[Metric]], gauges: Callable[[], GaugeSource]
    ) -> None:
        """Take the meter, what this process counted, and what the database counts."""
        self._families, self._gauges = families, gauges
        self._seconds = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._denial_seconds = meter.create_histogram(
            "oauth_change_to_deny_seconds",
            unit="s",
            description="Time from the commit of an end to the first refusal that the probe of a process saw",
            explicit_bucket_boundaries_advisory=DENIAL_BUCKETS,
        )
        for family in families():
            if family.type == "counter":
                meter.create_observable_counter(family.name, [self._counter(family.name)], "1", family.documentation)
        for name, (text, labels) in GAUGES.items():
            meter.create_observable_gauge(name, [self._gauge(name, labels)], "1", text)

    def measure(self, exchange: Exchange, seconds: float) -> None:
        """Record the time of one request."""
        attributes: dict[str, str | int] = {
            "http.request.method": exchange.method,
            "http.response.status_code": exchange.status,
        }
        if exchange.route:
            attributes["http.route"] = exchange.route
        if exchange.status >= _SERVER_ERROR:
            attributes["error.type"] = str(exchange.status)
        self._seconds.record(seconds, attributes)

    def denied(self, seconds: float) -> None:
        """Record how long after an end the probe saw its token refused."""
        self._denial_seconds.record(seconds)

    def _counter(self, name: str) -> Observe:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            for family in self._families():
                if family.name == name:
                    for sample in family.samples:
                        yield Observation(sample.value, dict(sample.labels))

        return observe

    def _gauge(self, name: str, labels: Sequence[str]) -> Observe:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            for values, number in self._gauges().get(name, {}).items():
                yield Observation(number, dict(zip(labels, values, strict=True)))

        return observe
