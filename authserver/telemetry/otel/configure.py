"""What ``OTEL_*`` asks for, and the SDK set up by it; the names are those of OpenTelemetry's specification."""

import importlib.util
import os
import threading
import uuid
from collections.abc import Mapping, MutableMapping
from importlib.metadata import entry_points
from typing import Any

from authserver.ports.errors import Invalid

_ENDPOINT, _PROTOCOL = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"
_SIGNALS = ("TRACES", "METRICS")
_LAST_SECONDS = 3.0
_INSTALL = "pip install --require-hashes -r requirements-otel.txt"


def requested(environ: Mapping[str, str]) -> dict[str, str]:
    """The exporters that are asked for, by ``TRACES`` and ``METRICS``; empty: none, nothing is traced.

    A signal is exported where its exporter is named (``OTEL_TRACES_EXPORTER``), or where an endpoint is and no
    exporter; ``OTEL_SDK_DISABLED=true`` turns all of it off.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return {}
    found = {}
    for signal in _SIGNALS:
        endpoint = environ.get(_ENDPOINT) or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip() or ("otlp" if endpoint else "none")
        if exporter.lower() != "none":
            found[signal] = exporter
    return found


def check(environ: Mapping[str, str]) -> None:
    """Refuse what could not be exported, before any worker starts.

    Raises:
        Invalid: packages are missing, or an exporter or protocol is not among those that are installed.
    """
    exporters = requested(environ)
    if not exporters:
        return
    name = next(f"OTEL_{signal}_EXPORTER={exporter}" for signal, exporter in exporters.items())
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        msg = f"{name} asks for OpenTelemetry, which is not installed: {_INSTALL}, or unset the OTEL_* variables"
        raise Invalid(msg)
    for signal, names in exporters.items():
        known = {each.name for each in entry_points(group=_group(signal))}
        for exporter in names.split(","):
            wanted = _entry_point(exporter.strip(), signal, environ)
            if wanted not in known:
                msg = f"OTEL_{signal}_EXPORTER: no exporter {wanted!r} is installed, only {', '.join(sorted(known))}"
                raise Invalid(msg)


def _entry_point(exporter: str, signal: str, environ: Mapping[str, str]) -> str:
    if exporter != "otlp":
        return exporter
    protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environ.get(_PROTOCOL) or "http/protobuf"
    return {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}.get(protocol.strip(), protocol)


def start(environ: MutableMapping[str, str], version: str) -> tuple[Any, Any]:
    """Make the SDK's providers in this process, of tracers and of meters; they read their variables by themselves.

    Raises:
        Invalid: a variable has a value that cannot be.
    """
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - loaded only where asked for
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    check(environ)
    if "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        environ.setdefault("OTEL_SERVICE_NAME", "authserver")
    try:
        # Each process counts by itself: without an instance of its own, two would overwrite each other's numbers.
        resource = Resource.create({"service.version": version, "service.instance.id": str(uuid.uuid4())})
        tracers = TracerProvider(resource=resource)
        for exporter in _exporters("TRACES", environ):
            tracers.add_span_processor(BatchSpanProcessor(exporter()))
        readers = [PeriodicExportingMetricReader(exporter()) for exporter in _exporters("METRICS", environ)]
        meters = MeterProvider(readers, resource)
    except (ValueError, RuntimeError, TypeError) as error:
        msg = f"OpenTelemetry cannot be set up from the OTEL_* variables: {error}"
        raise Invalid(msg) from error
    for name in [name for name in environ if name.startswith("OTEL_") and "HEADERS" in name]:
        del environ[name]  # a key of the collector must not be in a request's environment
    return tracers, meters


def _exporters(signal: str, environ: Mapping[str, str]) -> list[Any]:
    found = []
    for exporter in requested(environ).get(signal, "").split(","):
        name = _entry_point(exporter.strip(), signal, environ)
        found += [each.load() for each in entry_points(group=_group(signal), name=name)]
    return found


def _group(signal: str) -> str:
    return f"opentelemetry_{signal.lower()}_exporter"


def started(version: str) -> tuple[Any, Any] | None:
    """``start`` where the environment asks for it; None where it does not, and nothing is loaded."""
    return start(os.environ, version) if requested(os.environ) else None


def stop(providers: tuple[Any, Any]) -> None:
    """Send what is left; a collector that does not answer holds nobody up for longer than a moment."""

    def send() -> None:
        for provider in providers:
            provider.shutdown()

    sending = threading.Thread(target=send, name="otel-shutdown", daemon=True)
    sending.start()
    sending.join(_LAST_SECONDS)
