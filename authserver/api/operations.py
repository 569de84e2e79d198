"""An operation of the API, defined once: route, access, documents, conditions. Validation, OpenAPI and docs follow.

A view gets the context, the parts of the path, and what it declared of ``query`` and ``body``, checked; it calls one
action and returns an ``Answer``. What it does not declare is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, get_origin

import orjson
from flask import Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from authserver.api.authentication import authenticate
from authserver.api.blueprint import PREFIX, api
from authserver.api.context import ApiContext, api_context
from authserver.api.deprecation import Deprecation
from authserver.api.problems import Fault, Problem
from authserver.api.rate_limits import require_quota
from authserver.api.request_body import json_object
from authserver.api.schemas import Empty, Query
from authserver.rules import permission

JSON: Final = "application/json"
SAFE: Final = frozenset({"GET"})
REPLAYED: Final = "Idempotency-Replayed"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an operation; all of the ``permissions`` are needed."""

    name: str
    permissions: tuple[str, ...] = ()
    token: bool = True
    builder: bool = True


PUBLIC: Final = Access("public", token=False, builder=False)
"""Anybody."""

TOKEN: Final = Access("token", builder=False)
"""Any live token for the API."""

BUILDER: Final = Access("builder")
"""A token with a role that opens the console; it acts on what is its owner's."""

USERS: Final = Access("users", (permission.USERS,))
SETTINGS: Final = Access("settings", (permission.SETTINGS,))
RESOURCE_SERVERS: Final = Access("resource servers", (permission.RESOURCE_SERVERS,))
SECURITY: Final = Access("security", (permission.SECURITY,))
KEYS: Final = Access("keys", (permission.SECURITY, permission.KEYS))
STATE: Final = Access(
    "state", (permission.USERS, permission.SETTINGS, permission.RESOURCE_SERVERS, permission.SECURITY)
)
INVENTORY: Final = Access("inventory", (permission.SECURITY, permission.USERS))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: a document, or none (204), or ``lines`` that are sent as they are read."""

    document: BaseModel | None = None
    lines: Iterator[bytes] | None = None
    etag: str = ""
    location: str = ""
    replayed: bool = False


View = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. ``creates`` takes an Idempotency-Key, ``edits`` demands If-Match."""

    method: str
    path: str
    name: str
    access: Access
    tag: str
    summary: str
    description: str
    answer: type[BaseModel] | None
    status: int
    query: type[Query] | None
    body: type[BaseModel] | None
    creates: bool
    edits: bool
    etag: bool
    produces: str
    problems: tuple[str, ...] = ()
    deprecated: Deprecation | None = None

    @property
    def rule(self) -> str:
        """The rule as Flask knows it."""
        return PREFIX + self.path


OPERATIONS: Final[list[Operation]] = []
"""In the order of their definition."""


def operation(
    method: str,
    path: str,
    *,
    access: Access,
    tag: str,
    answer: type[BaseModel] | None = None,
    status: int = 200,
    query: type[Query] | None = None,
    body: type[BaseModel] | None = None,
    creates: bool = False,
    edits: bool = False,
    etag: bool = False,
    produces: str = JSON,
    problems: tuple[str, ...] = (),
    deprecated: Deprecation | None = None,
) -> Callable[[View], View]:
    """Register a view; its docstring is the summary and the description in the document.

    With ``produces`` other than JSON the view answers ``lines`` of that media type.
    """

    def register(view: View) -> View:
        summary, _, description = (view.__doc__ or "").strip().partition("\n")
        made = Operation(
            *(method, path, view.__name__, access, tag, summary.rstrip("."), _unindented(description)),
            *(answer, status if answer or produces != JSON else 204, query, body, creates, edits, etag),
            produces=produces,
            problems=problems,
            deprecated=deprecated,
        )
        OPERATIONS.append(made)

        @wraps(view)
        def serve(**path_parts: str) -> ResponseReturnValue:
            return _serve(made, view, path_parts)

        api.add_url_rule(path, view.__name__, serve, methods=[method], provide_automatic_options=False)
        return view

    return register


def _serve(made: Operation, view: View, path_parts: Mapping[str, str]) -> Response:
    context = api_context()
    context.deprecated = made.deprecated
    if made.access.token:
        context.found_caller = authenticate(context, made.method, made.rule)
        context.quota_left = require_quota(context.caller.client_id)
        _authorize(context, made.access)
    given: dict[str, Any] = dict(path_parts)
    parameters = _query(made.query)
    if made.query is not None:
        given["query"] = parameters
    content = _body(made)
    if made.body is not None:
        given["body"] = content
    if made.edits:
        context.conditions.require_if_match()
    if made.method in SAFE and made.access.token:
        with context.opened.shared_snapshot():
            return respond(made, view(context, **given))
    return respond(made, view(context, **given))


def respond(made: Operation, answer: Answer) -> Response:
    """Turn the answer of an operation into a response."""
    if answer.lines is not None:
        return Response(answer.lines, made.status, content_type=made.produces)
    body = b"" if answer.document is None else orjson.dumps(answer.document.model_dump(mode="json"))
    response = Response(body, made.status, content_type=JSON)
    if answer.document is None:
        del response.headers["Content-Type"]
    if answer.etag:
        response.headers["ETag"] = answer.etag
    if answer.location:
        response.headers["Location"] = PREFIX + answer.location
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    return response


def _authorize(context: ApiContext, access: Access) -> None:
    if access.builder and not context.caller.may_enter:
        raise Problem(
            "insufficient_scope",
            "The token has no builder role; make a credential with one, and ask for it.",
            headers={"WWW-Authenticate": 'Bearer realm="management API", error="insufficient_scope"'},
        )
    missing = [each for each in access.permissions if each not in context.caller.permissions]
    if missing:
        raise Problem(
            "insufficient_scope",
            f"No builder role of the token carries {' and '.join(missing)}.",
            headers={"WWW-Authenticate": 'Bearer realm="management API", error="insufficient_scope"'},
        )


def _query(model: type[Query] | None) -> Query | None:
    given = request.args.to_dict(flat=False)
    known = model.model_fields if model else {}
    faults = [Fault(pointer=name, detail="There is no such parameter.") for name in given if name not in known]
    listed = {name for name, each in known.items() if get_origin(each.annotation) is tuple}
    faults += [
        Fault(pointer=name, detail="Give it once.")
        for name, values in given.items()
        if name in known and name not in listed and len(values) > 1
    ]
    if faults:
        raise Problem("invalid_request", "The query is not as this operation takes it.", errors=faults)
    if model is None:
        return None
    try:
        return model.model_validate({name: values if name in listed else values[0] for name, values in given.items()})
    except ValidationError as error:
        raise Problem("invalid_request", "A parameter cannot be.", errors=faults_of(error, "")) from None


def _body(made: Operation) -> BaseModel | None:
    if made.method in SAFE or (made.body is None and made.method == "DELETE"):
        if request.get_data(cache=True):
            raise Problem("invalid_request", "This operation takes no body.")
        return None
    model: type[BaseModel] = made.body or Empty
    if made.body is None and not request.get_data(cache=True):
        return None
    try:
        return model.model_validate(json_object())
    except ValidationError as error:
        raise Problem(
            "invalid_request", "The body is not as this operation takes it.", errors=faults_of(error)
        ) from None


def faults_of(error: ValidationError, begin: str = "/") -> list[Fault]:
    """What is wrong with which value; never the value itself, which may be a secret."""
    found = []
    for each in error.errors(include_url=False, include_input=False, include_context=False)[:20]:
        where = "/".join(str(part).replace("~", "~0").replace("/", "~1")[:64] for part in each["loc"])
        text = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            text = "There is no such member." if begin else "There is no such parameter."
        found.append(Fault(pointer=(begin + where).encode("utf-8", "replace").decode(), detail=text))
    return found


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())
