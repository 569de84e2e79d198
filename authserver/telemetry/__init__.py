"""What operators see: log lines and metrics. Doors and ``app.py`` only.

- ``logs``: JSON, one line an event, and never a secret or a token (INV-20).
- ``requests``: the line of each request, written beside the request path.
- ``metrics``: Prometheus, with labels that stay few.
"""
