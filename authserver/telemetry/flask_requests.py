"""The line of a request that Flask answers; the console and the management API write theirs by it."""

import re
import secrets
import time
from collections.abc import Mapping
from typing import Final

from flask import Response, request

from authserver.telemetry.logs import logger

_PLAIN: Final = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)


def log_request(endpoint: str, response: Response, began: float, who: Mapping[str, str]) -> float:
    """Log a request, and give its answer an ``X-Request-Id``: the one that came, where it is plain.

    Args:
        endpoint: ``console`` or ``api``.
        response: gets the header.
        began: ``time.perf_counter`` when the request came.
        who: log fields of the caller; empty values are left out.

    Returns:
        The seconds that it took.
    """
    seconds = time.perf_counter() - began
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _PLAIN.fullmatch(given) else secrets.token_hex(8)
    response.headers["X-Request-Id"] = request_id
    logger().info(
        "request",
        endpoint=endpoint,
        request_id=request_id,
        method=request.method[:16],
        # The route and not the path: an id in it may be anything that somebody typed.
        route=request.url_rule.rule if request.url_rule else "",
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        **{name: value for name, value in who.items() if value},
    )
    return seconds
