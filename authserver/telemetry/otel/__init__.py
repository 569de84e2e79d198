"""OpenTelemetry, where it is installed and asked for: spans and metrics by the standard packages.

Nothing outside imports this package unless ``OTEL_*`` asks for it, so that without it nothing is loaded or wrapped.

- ``configure``: what the environment asks for, and the SDK set up by it.
- ``tracing``: a span for each request, with its statements and signatures below it.
- ``metrics``: the numbers that Prometheus reads, and the time of each request.
"""
