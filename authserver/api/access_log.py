"""What those who watch the server see of the API: a line and a count for each request below ``/api``."""

import time

from flask import Flask, Response, g, request

from authserver.api.blueprint import is_ours
from authserver.api.context import ApiContext, Services
from authserver.telemetry import flask_requests


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
    context: ApiContext | None = g.get("api_context")
    who = {"peer": context.peer} if context else {}
    if context and context.found_caller:
        who |= {"client": context.found_caller.client_id, "user": context.found_caller.user.id}
    seconds = flask_requests.log_request("api", response, g.api_began, who)
    services: Services = app.extensions["services"]
    services.observe_api_request(response.status_code, seconds)
    return response
