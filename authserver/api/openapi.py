"""The OpenAPI 3.1 document, made from the operations and their models; the same for every caller."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from authserver.api.blueprint import PREFIX
from authserver.api.operations import JSON, OPERATIONS, REPLAYED, Access, Operation
from authserver.api.problems import CONTENT_TYPE, KINDS, ProblemDocument

VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{model}"
_IF_MATCH: Final = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
_LIST: Final = re.compile(r"\bItems_(\w+?)(?:Document)?_(?!\w)")
_ABOUT: Final = """\
Everything that the web console does, for machines. A call carries a bearer token that the token endpoint issued for
the audience of this API (`resource`), to an application credential with a builder role. What its roles open is open.

Errors are problem details (RFC 9457). Lists are read part by part with `cursor`. An edit names the version it edits in
`If-Match`; `*` stands for whatever it is. A request that makes something may be sent again with its `Idempotency-Key`
and takes effect once. Unknown members and parameters are refused. Instants are whole seconds of UTC (RFC 3339)."""

TAGS: Final = {
    "me": "Who calls.",
    "credentials": "Application credentials of the owner in whose name the caller acts.",
    "users": "Users, and who holds which role.",
    "roles": "Roles.",
    "resource servers": "The APIs that receive tokens.",
    "settings": "General settings.",
    "signing keys": "The keys that sign tokens.",
    "audit": "What was changed, by whom, and whether the record is intact.",
    "webhooks": "Who is told of what happens, and what was sent.",
    "state": "Everything that can be declared, as one document.",
    "inventory": "All credentials, for the security team.",
    "document": "This document.",
}
PATH_PARTS: Final = {
    "client_id": "Client id of a credential.",
    "secret_id": "Id of a secret.",
    "thumbprint": "RFC 7638 thumbprint of a public key.",
    "trust_id": "Id of a trust.",
    "certificate_id": "Id of a certificate or name of certificates.",
    "jti": "Id of a session, which is the `jti` of its token.",
    "username": "Name of a user, in any letter case.",
    "role_id": "Id of a role.",
    "server_id": "Id of a resource server.",
    "name": "Name of a setting.",
    "kid": "Id of a signing key.",
    "seq": "Number of a record.",
    "code": "Name of a kind of problem.",
    "webhook_id": "Id of a webhook.",
    "event_id": "Id of an event, which is its `webhook-id`.",
}


def openapi_document(issuer: str) -> dict[str, Any]:
    """The document as plain JSON values."""
    models = _models()
    named, schemas = models_json_schema(sorted(models, key=lambda each: (each[0].__name__, each[1])), ref_template=_REF)
    components = dict(schemas.get("$defs", {}))
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(_template(each.path), {})[each.method.lower()] = _operation(each, named, components)
    made = {
        "openapi": "3.1.1",
        "info": {"title": "Management API", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": issuer + PREFIX}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if _used(name)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    renamed: dict[str, Any] = _named(made)
    return renamed


def _named(value: Any) -> Any:
    """The same as generators like it.

    They make a class of each name, so pydantic's ``Items_RoleDocument_`` is ``RoleList``. A default of null says no
    more than that a member may be left out, but some take it for a member that is always there.
    """
    if isinstance(value, dict):
        kept = ((name, each) for name, each in value.items() if not (name == "default" and each is None))
        return {_LIST.sub(r"\1List", name): _named(each) for name, each in kept}
    if isinstance(value, list):
        return [_named(each) for each in value]
    return _LIST.sub(r"\1List", value) if isinstance(value, str) and value.startswith(_REF[:2]) else value


def access_words(access: Access) -> str:
    """Who may call an operation, in words."""
    if not access.token:
        return "Anybody."
    if access.permissions:
        return f"A token with a builder role that carries {' and '.join(f'`{each}`' for each in access.permissions)}."
    return "A token with a builder role." if access.builder else "Any live token for this API."


def _used(tag: str) -> bool:
    return any(each.tag == tag for each in OPERATIONS)


def _models() -> set[tuple[type[BaseModel], JsonSchemaMode]]:
    found: set[tuple[type[BaseModel], JsonSchemaMode]] = {(ProblemDocument, "serialization")}
    for each in OPERATIONS:
        if each.body is not None:
            found.add((each.body, "validation"))
        if each.answer is not None:
            found.add((each.answer, "serialization"))
    return found


def _template(path: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)


def _operation(made: Operation, named: Any, components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": made.name,
        "tags": [made.tag],
        "summary": made.summary,
        "description": "\n\n".join(filter(None, (made.description, f"Access: {access_words(made.access)}"))),
        "parameters": [*_path_parts(made), *_parameters(made, components), *_headers(made)],
        "responses": _responses(made, named),
        "security": [{"bearer": []}] if made.access.token else [],
    }
    if made.deprecated:
        described["deprecated"] = True
    if made.access.permissions:
        described["x-permissions"] = list(made.access.permissions)
    if made.body is not None:
        content = {"application/json": {"schema": named[made.body, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parts(made: Operation) -> Iterable[dict[str, Any]]:
    for kind, name in re.findall(r"<(?:(\w+):)?(\w+)>", made.path):
        schema = {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "description": PATH_PARTS[name], "schema": schema}


def _parameters(made: Operation, components: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if made.query is None:
        return
    schema = made.query.model_json_schema(ref_template=_REF)
    components.update(schema.get("$defs", {}))
    for name, each in schema["properties"].items():
        described = {key: value for key, value in each.items() if key not in {"title", "description"}}
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": described}
        if "description" in each:
            parameter["description"] = each["description"]
        yield parameter


def _headers(made: Operation) -> Iterable[dict[str, Any]]:
    if made.edits:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "The ETag of what is edited, or `*` for whatever it is (RFC 9110 §13.1.1).",
            "schema": {"type": "string", "pattern": _IF_MATCH},
        }
    if made.creates:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Drawn at random for this request; sent again with it, the request takes effect once. "
            "A secret is in the first answer only.",
            "schema": {"type": "string", "pattern": '^"?[!#-~]{1,255}"?$'},
        }


def _responses(made: Operation, named: Any) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done." if made.answer is None else made.summary + "."}
    if made.answer is not None:
        done["content"] = {"application/json": {"schema": named[made.answer, "serialization"]}}
    if made.produces != JSON:
        done["description"] = made.summary + "."
        done["content"] = {made.produces: {"schema": {"type": "string"}}}
    headers = _answer_headers(made)
    if headers:
        done["headers"] = headers
    found = {str(made.status): done}
    for code in problems_of(made):
        kind = KINDS[code]
        described = found.setdefault(str(kind.status), _problem(named))
        described["description"] = " ".join(filter(None, (described["description"], f"`{code}`: {kind.title}.")))
    return found


def _answer_headers(made: Operation) -> dict[str, Any]:
    text = {"type": "string"}
    headers: dict[str, Any] = {}
    if made.access.token:
        headers["RateLimit-Policy"] = {"description": "Requests (`q`) in so many seconds (`w`).", "schema": text}
        headers["RateLimit"] = {"description": "How many are left (`r`), and for how long (`t`).", "schema": text}
    if made.deprecated:
        headers["Deprecation"] = {"description": "Since when (RFC 9745).", "schema": text}
        headers["Sunset"] = {"description": "When it may end (RFC 8594).", "schema": text}
    if made.etag:
        headers["ETag"] = {"description": "Names this version in If-Match.", "schema": text}
    if made.creates:
        headers[REPLAYED] = {"description": "`true` when the key was known: nothing was done again.", "schema": text}
    return headers


def _problem(named: Any) -> dict[str, Any]:
    return {"description": "", "content": {CONTENT_TYPE: {"schema": named[ProblemDocument, "serialization"]}}}


def problems_of(made: Operation) -> Sequence[str]:
    """The kinds of problems an operation may answer."""
    changes = made.method != "GET"
    statuses = {
        "invalid_request": True,
        "invalid": changes,
        "invalid_token": made.access.token,
        "insufficient_scope": made.access.builder,
        "not_found": "<" in made.path or changes,
        "conflict": changes,
        "precondition_failed": made.edits,
        "payload_too_large": made.access.token,
        "unsupported_media_type": changes,
        "idempotency_key_reused": made.creates,
        "precondition_required": made.edits,
        "too_many_requests": made.access.token,
        "headers_too_large": True,
        "temporarily_unavailable": True,
    }
    return [*(code for code, may_be in statuses.items() if may_be), *made.problems]
