"""Requests to the authorization server: ``steps`` describes them without I/O, ``transport`` sends them by httpx.

``backoff``: waits after failures, and a circuit breaker. Imports clocks, errors and settings of the package only.
"""
