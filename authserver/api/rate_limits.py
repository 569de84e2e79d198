"""How many requests a credential may send to the API, told in every answer (draft-ietf-httpapi-ratelimit-headers).

A fixed window of a minute for each credential and process: what one integration does in a loop costs the others
nothing. Only the API is limited; getting and introspecting tokens never is.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from flask import Response, current_app

from authserver.api.problems import Problem

WINDOW: Final = 60
"""Seconds."""

_MAX_CALLERS: Final = 10_000
_EXTENSION: Final = "api_rate_limits"


class RateLimits:
    """The requests of each credential in the present window; safe to share between threads. 0 allows any number."""

    def __init__(self, quota: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.quota, self._clock = quota, clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, client_id: str) -> tuple[int, int]:
        """Count a request: how many more the window takes, -1 when this one is too many, and its rest in seconds."""
        with self._lock:
            now = self._clock()
            ends, used = self._windows.pop(client_id, (0.0, 0))
            if now >= ends:
                ends, used = now + WINDOW, 0
            left = self.quota - used - 1
            self._windows[client_id] = (ends, min(used + 1, self.quota))
            if len(self._windows) > _MAX_CALLERS:
                self._windows.popitem(last=False)
            return left, max(1, math.ceil(ends - now))


def rate_limits() -> RateLimits:
    """Those of this process."""
    found: RateLimits = current_app.extensions[_EXTENSION]
    return found


def install(quota: int) -> tuple[str, RateLimits]:
    """What goes into the extensions of the application."""
    return _EXTENSION, RateLimits(quota)


def require_quota(client_id: str) -> tuple[int, int] | None:
    """Count a request of a credential; what ``add_headers`` takes, None where nothing is limited.

    Raises:
        Problem: it is one too many.
    """
    limits = rate_limits()
    if not limits.quota:
        return None
    left, seconds = limits.count(client_id)
    if left < 0:
        headers = {"Retry-After": str(seconds), **headers_of(0, seconds)}
        raise Problem(
            "too_many_requests", f"At most {limits.quota} requests a minute; wait {seconds} s.", headers=headers
        )
    return left, seconds


def headers_of(left: int, seconds: int) -> dict[str, str]:
    """``RateLimit-Policy`` and ``RateLimit`` (structured fields, RFC 9651)."""
    return {
        "RateLimit-Policy": f'"credential";q={rate_limits().quota};w={WINDOW}',
        "RateLimit": f'"credential";r={left};t={seconds}',
    }


def add_headers(response: Response, counted: tuple[int, int] | None) -> Response:
    """Tell what is left."""
    if counted is not None and "RateLimit" not in response.headers:
        response.headers.update(headers_of(*counted))
    return response
