"""The document and its readable form: public, because they are the same for every installation; no script at all."""

from functools import lru_cache
from typing import Any, Final

import orjson
from flask import Response, abort, current_app, render_template

from authserver.api.blueprint import api
from authserver.api.openapi import TAGS, access_words, openapi_document
from authserver.api.operations import OPERATIONS
from authserver.api.problems import KINDS

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CACHED: Final = "public, max-age=300"


def _issuer() -> str:
    issuer: str = current_app.extensions["services"].issuer
    return issuer


@lru_cache(maxsize=4)
def _document(issuer: str) -> bytes:
    return orjson.dumps(openapi_document(issuer))


@api.get("/openapi.json", provide_automatic_options=False)
def openapi_json() -> Response:
    """Answer the OpenAPI document."""
    response = Response(_document(_issuer()), content_type="application/json")
    response.headers["Cache-Control"] = _CACHED
    return response


@api.get("/docs", provide_automatic_options=False)
def docs() -> Response:
    """Show the document to people."""
    document = openapi_document(_issuer())
    by_tag = {tag: [each for each in OPERATIONS if each.tag == tag] for tag in TAGS}
    return _page(
        "api/docs.html",
        document=document,
        by_tag={tag: operations for tag, operations in by_tag.items() if operations},
        tags=TAGS,
        access=access_words,
        fields=_fields,
        kinds=KINDS,
    )


@api.get("/docs/errors/<code>", provide_automatic_options=False)
def docs_error(code: str) -> Response:
    """Say what a kind of problem means and what to do."""
    if code not in KINDS:
        abort(404)
    return _page("api/error.html", code=code, kind=KINDS[code])


@api.get("/docs/style.css", provide_automatic_options=False)
def docs_style() -> Response:
    """The one style sheet of these pages."""
    response = Response(render_template("api/style.css"), content_type="text/css; charset=utf-8")
    response.headers["Cache-Control"] = _CACHED
    return response


def _page(template: str, **context: Any) -> Response:
    response = Response(render_template(template, **context), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = _CACHED
    return response


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of the members of a schema that is named in the document."""
    found = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    required = set(found.get("required", ()))
    return [
        (name, _type(each) + ("" if name in required else ", optional"), str(each.get("description", "")))
        for name, each in found.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(str(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("const") or schema.get("type", "any"))
