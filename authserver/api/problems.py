"""Errors as problem details (RFC 9457): one table of kinds, whose ``type`` leads to a page that says what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Response, current_app, request
from pydantic import Field
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from authserver.api.blueprint import PREFIX
from authserver.api.schemas import Model
from authserver.ports.errors import Conflict, KeyReused, NotFound, Refusal, Unavailable
from authserver.telemetry.logs import logger

CONTENT_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its title, and a sentence about what to do."""

    status: int
    title: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request": Kind(400, "The request is not as the API takes it", "Compare it with the OpenAPI document."),
    "invalid": Kind(400, "A value cannot be", "The detail names the right value; nothing was changed."),
    "invalid_token": Kind(401, "A live token for this API is needed", "Ask the token endpoint for a new one."),
    "insufficient_scope": Kind(403, "The token's roles do not open this", "Use a credential with a role that does."),
    "not_allowed": Kind(403, "A setting does not allow this", "Ask an administrator, or do it in the console."),
    "not_found": Kind(404, "There is no such thing, or it is not yours", "List what there is and copy the id."),
    "method_not_allowed": Kind(405, "This address takes other methods", "Use one of those in Allow."),
    "conflict": Kind(409, "It is so already, or the name is taken", "Read it anew, then decide."),
    "precondition_failed": Kind(412, "It was changed meanwhile", "Read it anew and send its new ETag in If-Match."),
    "payload_too_large": Kind(413, "The request is too large", "A body may have 64 kB at most."),
    "unsupported_media_type": Kind(415, "The body is no JSON", "Send Content-Type: application/json."),
    "idempotency_key_reused": Kind(422, "The key came with another request", "Draw a new key for each request."),
    "precondition_required": Kind(428, "An edit says what it edits", "Send the ETag of what you read in If-Match."),
    "too_many_requests": Kind(
        429, "Too many requests", "Wait as long as Retry-After says; RateLimit tells what is left."
    ),
    "headers_too_large": Kind(431, "The headers are too large", "They may have 16 kB at most."),
    "server_error": Kind(500, "Something went wrong here", "The operator's log has the details."),
    "temporarily_unavailable": Kind(503, "The server cannot tell now", "Try again shortly."),
}
_BY_STATUS: Final = {
    405: "method_not_allowed", 413: "payload_too_large", 415: "unsupported_media_type", 404: "not_found",
    429: "too_many_requests", 431: "headers_too_large",
}  # fmt: skip

_BY_REFUSAL: Final = ((KeyReused, "idempotency_key_reused"), (Conflict, "conflict"))


class Fault(Model):
    """What is wrong with one value of the request."""

    pointer: str = Field(description="JSON pointer into the body, or the name of the query parameter or header.")
    detail: str


class ProblemDocument(Model):
    """Problem details (RFC 9457)."""

    type: str = Field(description="Leads to a page that says what to do.")
    title: str
    status: int
    detail: str
    errors: Sequence[Fault] = ()


class Problem(Exception):
    """A request is refused with a problem of one of ``KINDS``."""

    def __init__(
        self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, errors: Sequence[Fault] = ()
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers, self.errors = code, detail, headers or {}, errors


def type_of(code: str) -> str:
    """The URI of a kind of problem: a page of this server."""
    issuer: str = current_app.extensions["services"].issuer
    return f"{issuer}{PREFIX}/docs/errors/{code}"


def error_response(error: Exception) -> Response:
    """Turn an exception of a request to the API into problem details; the text of a fault is not disclosed."""
    problem = error if isinstance(error, Problem) else _problem_of(error)
    kind = KINDS[problem.code]
    document: dict[str, Any] = {
        "type": type_of(problem.code),
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = [each.model_dump() for each in problem.errors]
    body = b"" if request.method == "HEAD" else orjson.dumps(document)
    response = Response(body, kind.status, content_type=CONTENT_TYPE)
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, NotFound):
        # Unknown and foreign alike: the text of the error would tell which (INV-09).
        return Problem("not_found", "There is no such thing, or it is not yours.")
    if isinstance(error, Refusal):
        code = next((code for kind, code in _BY_REFUSAL if isinstance(error, kind)), "invalid")
        return Problem(code, str(error))
    if isinstance(error, Unavailable):
        logger().warning("unavailable", reason=str(error))
        return Problem("temporarily_unavailable", "The server cannot tell now.", headers={"Retry-After": "2"})
    logger().error("request_failed", fault=type(error).__name__, exc_info=error)
    return Problem("server_error", "Something went wrong here; the operator's log has it.")


def _of_http(error: HTTPException) -> Problem:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    code = _BY_STATUS.get(status, "invalid_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error")
    allowed = _allowed(error) if isinstance(error, MethodNotAllowed) else ()
    return Problem(code, KINDS[code].remedy, headers={"Allow": ", ".join(allowed)} if allowed else {})


def _allowed(error: MethodNotAllowed) -> Sequence[str]:
    """The methods of the most exact route: `/signing-keys/rotate` is not the key that is called `rotate`."""
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return ()
    rules = {each: adapter.match(method=each, return_rule=True)[0] for each in error.valid_methods or ()}
    fewest = min((len(rule.arguments) for rule in rules.values()), default=0)
    return sorted(each for each, rule in rules.items() if len(rule.arguments) == fewest)
