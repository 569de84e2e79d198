"""What every Flask answer has in common: security headers, and errors that tell nothing (INV-28)."""

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from authserver.ports import NotFound, Unavailable
from authserver.telemetry.logs import logger
from authserver.web import console

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


def install(app: Flask) -> None:  # noqa: C901 - one short handler a kind of fault
    """Give ``app`` its headers, its error answers and the way from ``/`` to the console."""
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    console.install(app)

    @app.get("/")
    def front() -> AnyResponse:
        return redirect("/console/", 303)

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        if console.is_ours(request.path):
            return console.refused(error)
        status = error.code or 500
        response = jsonify(error="invalid_request", error_description=_TEXTS.get(status, error.name))
        response.status_code = status
        if status == 404:  # noqa: PLR2004 - RFC 9110 §15.5.5
            response = jsonify(error="not_found", error_description=_TEXTS[404])
            response.status_code = 404
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    @app.errorhandler(NotFound)
    def not_found(error: NotFound) -> Response:
        if console.is_ours(request.path):
            return console.refused(error)
        response = jsonify(error="not_found", error_description=_TEXTS[404])
        response.status_code = 404
        return response

    @app.errorhandler(Unavailable)
    def unavailable(error: Unavailable) -> Response:
        if console.is_ours(request.path):
            return console.refused(error)
        logger().warning("unavailable", reason=str(error))
        response = jsonify(
            error="temporarily_unavailable", error_description="The server cannot tell now; try again shortly."
        )
        response.status_code = 503
        response.headers["Retry-After"] = "2"
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        if console.is_ours(request.path):
            return console.refused(error)
        logger().error("request_failed", fault=type(error).__name__, exc_info=error)
        response = jsonify(
            error="server_error", error_description="Something went wrong here; the operator's log has it."
        )
        response.status_code = 500
        return response
