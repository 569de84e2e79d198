"""The management API at ``/api/v1``: everything the console does, for machines, in JSON.

Rules of the package:

- an operation is defined once (``operations``): route, access, documents, conditions; validation, ``openapi`` and
  ``docs_page`` follow from that; what is not declared is refused;
- who calls is judged by the action that answers introspection (``authentication``); the token's roles open what they
  open in the console, never more than the owner has;
- a view calls the same actions as the console, and knows no SQL;
- an edit depends on If-Match, what makes something takes an Idempotency-Key (``preconditions``), both inside the
  transaction of the change;
- an error is a problem detail (``problems``); no detail of a fault is disclosed; no cookie, no CORS.

``blueprint`` is Flask's; ``context`` says who asks, and when; ``schemas`` are the models' base, ``request_body`` reads
JSON, ``cursors`` page lists, ``access_log`` writes lines and counts,
``rate_limits`` and ``deprecation`` have the headers of those names. ``resources/`` has a module for each resource.
May import ``actions``, ``ports``, ``rules``, ``telemetry`` and ``keys``; never ``store``, ``oauth``, ``console``,
``cli`` or ``web``.
"""

from flask import Flask, Response, g, request
from werkzeug.routing import RequestRedirect

from authserver.api import access_log, deprecation, docs_page, rate_limits, resources
from authserver.api.blueprint import api, is_ours
from authserver.api.context import ApiContext, api_context
from authserver.api.problems import Problem, error_response

MAX_HEADERS = 16 * 1024


def install(app: Flask, requests_per_minute: int) -> None:
    """Register the API on ``app``; each credential may send so many requests, 0 for any number."""
    name, limits = rate_limits.install(requests_per_minute)
    app.extensions[name] = limits
    access_log.log_requests(app)
    app.before_request(_refuse_redirects)
    app.register_blueprint(api)


def _refuse_redirects() -> Response | None:
    """An address with a slash too many is none of ours: who followed a redirect might lose body or token."""
    if is_ours(request.path) and isinstance(request.routing_exception, RequestRedirect):
        return error_response(Problem("not_found", "There is no such address; mind the slashes."))
    return None


@api.after_request
def tell_limits(response: Response) -> Response:
    """Tell every caller what it may still send, and whether what it called will end."""
    context: ApiContext | None = g.get("api_context")
    if context is None:  # there is no database to ask who calls, which the answer says already
        return response
    return deprecation.add_headers(rate_limits.add_headers(response, context.quota_left), context.deprecated)


@api.before_request
def require_private_connection() -> Response | None:
    """Refuse what was sent where others can read it, and headers without end."""
    size = sum(len(name) + len(value) for name, value in request.headers)
    if size > MAX_HEADERS:
        raise Problem("headers_too_large", "The headers may have 16 kB at most.")
    if not api_context().private:
        raise Problem("invalid_request", "Use https. A proxy that ends TLS must be configured as trusted.")
    return None


__all__ = ["docs_page", "error_response", "install", "is_ours", "resources"]
