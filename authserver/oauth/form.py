"""The strict form parser (RFC 6749 §3.2, Appendix B): body only, UTF-8, urlencoded only, no parameter twice."""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from authserver.oauth.http import BadRequest, Request

MAX_BODY = 64 * 1024


_MAX_PARAMETERS = 50


_FORM = "application/x-www-form-urlencoded"


def read_form(request: Request, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """Read the form of a request.

    A ``repeatable`` parameter that was repeated arrives as one value with spaces
    between: no single value of such a parameter can hold one.

    Raises:
        BadRequest: not urlencoded, not UTF-8, too large, a NUL, or a parameter twice.
    """
    kind = request.headers.get("content-type", "")
    if kind != _FORM and not _is_form(kind):
        msg = "Send the parameters as application/x-www-form-urlencoded in UTF-8 in the request body."
        raise BadRequest(msg)
    if request.body.count(b"&") > _MAX_PARAMETERS:
        msg = f"Send {_MAX_PARAMETERS} parameters at most."
        raise BadRequest(msg)
    form: dict[str, str] = {}
    for piece in request.body.split(b"&"):
        if not piece:
            continue
        raw_name, _, raw_value = piece.partition(b"=")
        name, value = _NAMES.get(raw_name) or form_decode(raw_name), form_decode(raw_value)
        if name not in form:
            form[name] = value
        elif name in repeatable:
            form[name] += f" {value}"
        else:
            msg = "Send each parameter once."
            raise BadRequest(msg)
    if request.query:
        _check_query(request.query, form)
    return {name: value for name, value in form.items() if value}


def without_token(body: bytes) -> tuple[str, bytes] | None:
    """The value of ``token`` in a form, and the form without it; None where that is not plain to see.

    Of two forms with the same rest, both are well-formed or neither is: the value is neither encoded nor empty, and
    ends where the next parameter begins. What of the rest is well-formed is for ``read_form`` to say.
    """
    before, _, after = body.partition(b"token=")
    raw, _, rest = after.partition(b"&")
    if not raw or (before and not before.endswith(b"&")) or not raw.isascii():
        return None
    if b"%" in raw or b"+" in raw or b"\0" in raw:
        return None
    return raw.decode("ascii"), before + rest


_BODY_ONLY = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "scope",
        "resource",
        "audience",
        "token",
        "token_type_hint",
        "access_token",
        "http_method",
        "http_route",
    }
)


_NAMES = {name.encode(): name for name in _BODY_ONLY}


def _check_query(query: str, form: Mapping[str, str]) -> None:
    """Nothing of ours in the URL, and nothing twice: it would end up in logs, and parsers would disagree about it."""
    pieces = [piece.partition("=")[0] for piece in query.split("&")]
    names = [form_decode(name.encode("utf-8", "surrogatepass")) for name in pieces if name]
    if _BODY_ONLY.union(form).intersection(names):
        msg = "Send the parameters in the request body, not in the URL."
        raise BadRequest(msg)
    if len(set(names)) != len(names):
        msg = "Send each parameter once."
        raise BadRequest(msg)


def _is_form(kind: str) -> bool:
    media, _, parameters = kind.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    return media.strip().lower() == _FORM and charset in {"", "charset=utf-8"}


def form_decode(raw: bytes) -> str:
    """Decode one urlencoded piece.

    Raises:
        BadRequest: not UTF-8, or a NUL inside.
    """
    try:
        text = (unquote_to_bytes(raw.replace(b"+", b" ")) if b"%" in raw or b"+" in raw else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        msg = "The request is not UTF-8."
        raise BadRequest(msg) from error
    if "\0" in text:
        msg = "A parameter holds a NUL character."
        raise BadRequest(msg)
    return text
