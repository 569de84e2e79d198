"""The access log and metrics of the console: a line and a count for each request, and counted sign-ins."""

import time
from typing import Final

from flask import Flask, Response, g, request

from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame.layout import is_console_path
from authserver.telemetry.flask_requests import log_request

_QUIET: Final = "console.static_file"


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
    context: ConsoleContext | None = g.get("console_context")
    who = (
        {"peer": context.peer, "user": context.current_user.user.id if context.current_user else ""} if context else {}
    )
    seconds = log_request("console", response, g.console_began, who)
    if context:
        context.services.observe_console_request(response.status_code, seconds)
    return response
