"""Security headers and error responses of every Flask response; no detail of a fault is disclosed (INV-28)."""

from collections.abc import Callable, Sequence

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from authserver.ports.errors import NotFound, Unavailable
from authserver.telemetry.logs import logger

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TEXTS = {
    404: "There is nothing here.",
    405: "This method is not offered here.",
    413: "The request body may have 64 kB at most.",
}


ErrorResponse = Callable[[Exception], Response]


def install(app: Flask, *, own_errors: Sequence[tuple[Callable[[str], bool], ErrorResponse]]) -> None:
    """Give ``app`` its headers, its error responses and the redirect from ``/`` to the console.

    Args:
        app: the Flask application.
        own_errors: for each part that has its own form of errors, whether a path is its own, and what renders them;
            errors elsewhere are answered as plain JSON.
    """
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024

    @app.get("/")
    def front() -> AnyResponse:
        return redirect(f"{request.script_root}/console/", 303)

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    @app.errorhandler(NotFound)
    @app.errorhandler(Unavailable)
    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        render = next((render for is_console_path, render in own_errors if is_console_path(request.path)), _json)
        return render(error)


def _json(error: Exception) -> Response:
    """Answer with JSON: the status and a sentence, never the fault's own text."""
    if isinstance(error, HTTPException) and error.code != 404:  # noqa: PLR2004 - RFC 9110 §15.5.5
        status = error.code or 500
        response = _error(status, "invalid_request", _TEXTS.get(status, error.name))
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response
    if isinstance(error, HTTPException | NotFound):
        return _error(404, "not_found", _TEXTS[404])
    if isinstance(error, Unavailable):
        logger().warning("unavailable", reason=str(error))
        response = _error(503, "temporarily_unavailable", "The server cannot tell now; try again shortly.")
        response.headers["Retry-After"] = "2"
        return response
    logger().error("request_failed", fault=type(error).__name__, exc_info=error)
    return _error(500, "server_error", "Something went wrong here; the operator's log has it.")


def _error(status: int, code: str, text: str) -> Response:
    response = jsonify(error=code, error_description=text)
    response.status_code = status
    return response
