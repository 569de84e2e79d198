"""The access log and metrics of the console: a line and a count for each request, and counted sign-ins."""

import re
import secrets
import time
from typing import Final

from flask import Flask, Response, g, request

from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame.layout import is_console_path
from authserver.telemetry.logs import logger

_QUIET: Final = "console.static_file"
_PLAIN: Final = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)


def log_requests(app: Flask) -> None:
    """Log every request below ``/console``, also those that no page answers."""
    app.before_request(_start_timer)
    app.after_request(_log_request)


def granted(method: str) -> None:
    """Count a sign-in, or a new proof."""
    console_context().services.observe_console_login(method, "granted")


def refused(method: str) -> None:
    """Count a refused sign-in."""
    console_context().services.observe_console_login(method, "refused")


def delayed(method: str) -> None:
    """Count a sign-in that came too early and was not checked."""
    console_context().services.observe_console_login(method, "delayed")


def _start_timer() -> None:
    g.console_began = time.perf_counter()


def _log_request(response: Response) -> Response:
    if not is_console_path(request.path) or request.endpoint == _QUIET:
        return response
    seconds = time.perf_counter() - g.console_began
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _PLAIN.fullmatch(given) else secrets.token_hex(8)
    response.headers["X-Request-Id"] = request_id
    # The route and not the path: an id in it may be anything that somebody typed.
    route = request.url_rule.rule if request.url_rule else ""
    at: ConsoleContext | None = g.get("console_context")
    who = {"peer": at.peer, "user": at.current_user.user.id if at.current_user else ""} if at else {}
    logger().info(
        "request",
        endpoint="console",
        request_id=request_id,
        method=request.method[:16],
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        **{name: value for name, value in who.items() if value},
    )
    if at:
        at.services.observe_console_request(response.status_code, seconds)
    return response
