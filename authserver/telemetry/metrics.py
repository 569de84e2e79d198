"""Prometheus metrics with labels of bounded cardinality: no client id, no path a caller chose.

Imported late, by the process that serves: with several processes the library
decides at import time, by ``PROMETHEUS_MULTIPROC_DIR``, where numbers are kept.
"""

import os
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
DENIAL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

GaugeSource = Mapping[str, Mapping[tuple[str, ...], float]]
"""Gauge name -> label values -> number."""

GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "oauth_tokens_active": ("Sessions not ended and not past their end", ()),
    "oauth_tokens_ended": ("Sessions kept on record that ended, by reason", ("reason",)),
    "oauth_session_rows": ("Sessions on record, as the database estimates", ()),
    "oauth_session_sweep_lag_seconds": ("How long the oldest session on record is overdue to be deleted", ()),
    "oauth_credentials": ("Application credentials by state", ("state",)),
    "oauth_credentials_expiring": ("Live credentials that expire within a time", ("within",)),
    "oauth_credentials_with_unused_tokens": ("Credentials that got far more tokens yesterday than were used", ()),
    "oauth_signing_key_age_seconds": ("Age of the signing keys", ("alg", "state")),
    "oauth_audit_records": ("Records in the audit chain", ()),
    "oauth_audit_chain_broken": ("1 when the watch over the audit chain found that it does not hold", ()),
    "oauth_audit_checkpoint_age_seconds": ("Age of the newest signed checkpoint of the audit trail", ()),
    "oauth_build_info": ("Version of the program", ("version",)),
}


class _Gauges(Collector):
    def __init__(self, gauges: Callable[[], GaugeSource]) -> None:
        self._read_gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, values in self._read_gauges().items():
            text, labels = GAUGES[name]
            family = GaugeMetricFamily(name, text, labels=labels)
            for label_values, number in sorted(values.items()):
                family.add_metric(list(label_values), number)
            yield family


class Durations(Histogram):
    """A histogram without labels that takes many durations at once: the library locks twice for each.

    Made of the library's own values, so an exposition, also that of several processes, is as it makes it.
    """

    def observe_all(self, seconds: Sequence[float]) -> None:
        """Observe each of these."""
        self._sum.inc(sum(seconds))
        for bucket, count in Tally(bisect_left(self._upper_bounds, each) for each in seconds).items():
            self._buckets[bucket].inc(count)


class Metrics:
    """Counts responses; ``gauges`` is called when the metrics are read."""

    def __init__(self, gauges: Callable[[], GaugeSource]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        durations = partial(Durations, buckets=BUCKETS, registry=registry)
        self._tokens = counter("oauth_token_requests", "Token requests", ("grant_type", "outcome", "reason"))
        self._token_seconds = durations("oauth_token_request_duration_seconds", "Time per token request")
        self._introspections = counter("oauth_introspection_requests", "Introspections", ("active",))
        self._introspection_seconds = durations(
            "oauth_introspection_request_duration_seconds", "Time per introspection"
        )
        self._failures = counter("oauth_client_auth_failures", "Failed client authentication", ("reason",))
        self._limited = counter("oauth_rate_limited", "Requests answered 429", ("rule",))
        self._by_outcome = {
            kind: counter(name, text, ("outcome",))
            for kind, name, text in (
                ("revocation", "oauth_revocation_requests", "Revocations"),
                ("usage", "oauth_usage_reports", "Usage reports of resource servers"),
                ("changes", "oauth_change_feed_requests", "Requests for the change feed"),
                ("forward_auth", "oauth_forward_auth_requests", "Questions of gateways"),
                ("shared_signals", "oauth_shared_signals_requests", "Requests about event streams"),
            )
        }
        self._leases = counter("oauth_leases", "Active answers that may be trusted for a while", ("endpoint",))
        self._events = counter(
            "oauth_security_events", "Security events by what became of them", ("delivery", "outcome")
        )
        self._keys = counter("oauth_jwks_requests", "Requests for the JWKS", ("status",))
        self._pages = counter("oauth_console_requests", "Requests to the console", ("status",))
        self._page_seconds = durations("oauth_console_request_duration_seconds", "Time per request to the console")
        self._api = counter("oauth_api_requests", "Requests to the management API", ("status",))
        self._api_seconds = durations("oauth_api_request_duration_seconds", "Time per request to the management API")
        self._logins = counter("oauth_console_logins", "Tries to sign in to the console", ("method", "outcome"))
        self._unrecorded = counter(
            "oauth_usage_write_failures", "Tries to record sessions and uses that failed", ("reason",)
        )
        self._denial_seconds = Histogram(
            "oauth_change_to_deny_seconds",
            "Time from the commit of an end to the first refusal that the probe of a process saw",
            buckets=DENIAL_BUCKETS,
            registry=registry,
        )
        self._denial_probes = counter("oauth_change_to_deny_probes", "What the probe was answered", ("outcome",))
        self._errors = counter("http_server_errors", "Answers of 500 and above", ("status",))
        self._by_flask = {"console": (self._pages, self._page_seconds), "api": (self._api, self._api_seconds)}
        self._tokens_by: dict[tuple[str, str], Counter] = {}
        self._introspections_by = {
            outcome: self._introspections.labels(label)
            for outcome, label in (("active", "true"), ("inactive", "false"), ("", "refused"))
        }
        self._registry = registry
        self._gauges = _Gauges(gauges)

    def observe(self, kind: str, status: int, outcome: str, reason: str, *seconds: float) -> None:
        """Count answers that were alike.

        Args:
            kind: which endpoint, such as ``token`` or ``introspection``.
            status: the HTTP status.
            outcome: the outcome, one of a closed set.
            reason: why, one of a closed set.
            seconds: how long each of them took.
        """
        count = len(seconds)
        if kind == "token":
            counter = self._tokens_by.get((outcome, reason))
            if counter is None:
                counter = self._tokens_by[outcome, reason] = self._tokens.labels("client_credentials", outcome, reason)
            counter.inc(count)
            self._token_seconds.observe_all(seconds)
        elif kind == "introspection":
            (self._introspections_by.get(outcome) or self._introspections_by[""]).inc(count)
            self._introspection_seconds.observe_all(seconds)
        elif kind in self._by_outcome:
            self._by_outcome[kind].labels(outcome).inc(count)
        elif kind == "jwks":
            self._keys.labels(str(status)).inc(count)
        elif kind in self._by_flask:
            requests, duration = self._by_flask[kind]
            requests.labels(str(status)).inc(count)
            duration.observe_all(seconds)
        if status == 429:  # noqa: PLR2004 - RFC 6585 §4
            self._limited.labels(reason).inc(count)
        elif outcome == "invalid_client":
            self._failures.labels(reason).inc(count)
        if status >= 500:  # noqa: PLR2004 - RFC 9110 §15.6
            self._errors.labels(str(status)).inc(count)

    def unrecorded(self, reason: str) -> None:
        """Count a try to write sessions and uses that failed, by the kind of its reason, one of a closed set."""
        self._unrecorded.labels(reason).inc()

    def denied(self, seconds: float) -> None:
        """Record how long after an end the probe saw its token refused."""
        self._denial_seconds.observe(seconds)

    def denial_probe(self, outcome: str) -> None:
        """Count what the probe saw: ``refused``, ``still_active``, or ``unavailable``."""
        self._denial_probes.labels(outcome).inc()

    def lease(self, kind: str) -> None:
        """Count an active answer that may be trusted for a while; ``kind`` is the endpoint, as in ``observe``."""
        self._leases.labels(kind).inc()

    def security_events(self, delivery: str, outcome: str, number: int) -> None:
        """Count security events.

        Args:
            delivery: ``poll`` or ``push``.
            outcome: ``acknowledged``, ``refused`` by the receiver for good, or ``failed`` and to be sent again.
            number: how many.
        """
        self._events.labels(delivery, outcome).inc(number)

    def login(self, method: str, outcome: str) -> None:
        """Count a try to sign in to the console.

        Args:
            method: ``password``, ``link``, ``oidc``, or ``proof`` where somebody signed in proves it again.
            outcome: ``granted``, ``refused``, or ``delayed`` for one that came too early.
        """
        self._logins.labels(method, outcome).inc()

    def families(self) -> Iterable[Metric]:
        """What this process counted by itself."""
        return self._registry.collect()

    def exposition(self) -> bytes:
        """The text Prometheus reads; numbers of all processes where several serve."""
        several = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        counter_registry = CollectorRegistry() if several else self._registry
        if several:
            multiprocess.MultiProcessCollector(counter_registry)  # type: ignore[no-untyped-call]
        gauge_registry = CollectorRegistry()
        gauge_registry.register(self._gauges)
        return generate_latest(counter_registry) + generate_latest(gauge_registry)
