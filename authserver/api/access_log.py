"""What those who watch the server see of the API: a line and a count for each request below ``/api``."""

import re
import secrets
import time
from typing import Final

from flask import Flask, Response, g, request

from authserver.api.blueprint import is_ours
from authserver.api.context import ApiContext, Services
from authserver.telemetry.logs import logger

_PLAIN: Final = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)


def log_requests(app: Flask) -> None:
    """Note every request below ``/api``, also those that no operation answers."""

    @app.before_request
    def start_timer() -> None:
        if is_ours(request.path):
            g.api_began = time.perf_counter()

    @app.after_request
    def log_request(response: Response) -> Response:
        return _log_request(app, response) if is_ours(request.path) and "api_began" in g else response


def _log_request(app: Flask, response: Response) -> Response:
    seconds = time.perf_counter() - g.api_began
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _PLAIN.fullmatch(given) else secrets.token_hex(8)
    response.headers["X-Request-Id"] = request_id
    # The route and not the path: an id in it may be anything that somebody typed.
    route = request.url_rule.rule if request.url_rule else ""
    at: ApiContext | None = g.get("api_context")
    who = {"peer": at.peer} if at else {}
    if at and at.found_caller:
        who |= {"client": at.found_caller.client_id, "user": at.found_caller.user.id}
    logger().info(
        "request",
        endpoint="api",
        request_id=request_id,
        method=request.method[:16],
        route=route,
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        **{name: value for name, value in who.items() if value},
    )
    services: Services = app.extensions["services"]
    services.observe_api_request(response.status_code, seconds)
    return response
