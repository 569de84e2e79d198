"""What those who watch the server see of the console: a line and a count for each request, and counted sign-ins."""

import re
import secrets
import time
from typing import Final

from flask import Flask, Response, g, request

from authserver.telemetry.logs import logger
from authserver.web.console.here import Here, here
from authserver.web.console.pages import is_ours

_QUIET: Final = "console.static_file"
_PLAIN: Final = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)


def furnish(app: Flask) -> None:
    """Note every request below ``/console``, also those that no page answers."""
    app.before_request(_begin)
    app.after_request(_note)


def granted(method: str) -> None:
    """Count a sign-in, or a new proof."""
    here().house.console_login(method, "granted")


def refused(method: str) -> None:
    """Count somebody who was not let in."""
    here().house.console_login(method, "refused")


def delayed(method: str) -> None:
    """Count a try that came too early to be looked at."""
    here().house.console_login(method, "delayed")


def _begin() -> None:
    g.console_began = time.perf_counter()


def _note(response: Response) -> Response:
    if not is_ours(request.path) or request.endpoint == _QUIET:
        return response
    seconds = time.perf_counter() - g.console_began
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _PLAIN.fullmatch(given) else secrets.token_hex(8)
    response.headers["X-Request-Id"] = request_id
    # The route and not the path: an id in it may be anything that somebody typed.
    route = request.url_rule.rule if request.url_rule else ""
    at: Here | None = g.get("console_here")
    who = {"peer": at.peer, "user": at.visit.user.id if at.visit else ""} if at else {}
    logger().info(
        "request",
        door="console",
        request_id=request_id,
        method=request.method[:16],
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        **{name: value for name, value in who.items() if value},
    )
    if at:
        at.house.console_request(response.status_code, seconds)
    return response
