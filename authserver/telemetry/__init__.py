"""What operators see: log lines and metrics. Knows no database.

- ``logs``: JSON, one line an event. ``redaction``: never a secret or a token in it (INV-20).
- ``access_log``: the line of each request, written by a thread beside the request path.
- ``flask_requests``: the line of each request that Flask answers.
- ``metrics``: Prometheus, with labels of bounded cardinality.
- ``otel``: spans and metrics by OpenTelemetry, where it is asked for; ``outgoing``: the trace for requests to others.
- ``denial_probe``: how long after an end its tokens are refused here.
"""
