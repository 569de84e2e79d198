"""Parse once, at the door: a strict form, and answers that are always JSON.

Body only, UTF-8, urlencoded only, no parameter twice, an empty value is an
absent one (RFC 6749 §3.2, Appendix B). A door is a function from ``Ask`` to
``Reply``; how it is mounted is not its business.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

MAX_BODY = 64 * 1024
_UNPRINTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_MAX_PARAMETERS = 50

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request as plain values; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; ``note`` is for log and metrics, never for the caller."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = NO_STORE
    note: Mapping[str, str] = field(default_factory=dict)


Door = Callable[[Ask], Reply]


class Malformed(ValueError):
    """RFC 6749 §5.2 ``invalid_request``; ``status`` is 400 unless HTTP has a better one."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def json_reply(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = NO_STORE) -> Reply:
    """Make a JSON answer that nobody may keep."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode(), headers=headers)


def refusal(
    code: str, text: str, status: int = 400, headers: tuple[tuple[str, str], ...] = (), reason: str = ""
) -> Reply:
    """Make an error answer (RFC 6749 §5.2); the text is cut down to the characters allowed there."""
    described = _UNPRINTABLE.sub("?", text)
    body = json.dumps({"error": code, "error_description": described}, separators=(",", ":")).encode()
    return Reply(status, body, headers=(*NO_STORE, *headers), note={"outcome": code, "reason": reason or code})


def read_form(ask: Ask, *, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """Read the form of a request.

    Raises:
        Malformed: not urlencoded, not UTF-8, too large, a NUL, or a parameter twice.
    """
    kind, _, parameters = ask.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/x-www-form-urlencoded" or charset not in {"", "charset=utf-8"}:
        msg = "Send the parameters as application/x-www-form-urlencoded in UTF-8 in the request body."
        raise Malformed(msg)
    pairs = [piece.partition(b"=") for piece in ask.body.split(b"&") if piece]
    if len(pairs) > _MAX_PARAMETERS:
        msg = "Too many parameters."
        raise Malformed(msg)
    form: dict[str, str] = {}
    for raw_name, _, raw_value in pairs:
        name, value = form_decode(raw_name), form_decode(raw_value)
        if name in form:
            msg = "Send each parameter once."
            raise Malformed(msg)
        form[name] = value
    in_query = {form_decode(piece.partition("=")[0].encode("latin-1")) for piece in ask.query.split("&") if piece}
    if in_query & (form.keys() | _BODY_ONLY):
        msg = "Send the parameters in the request body, not in the URL."
        raise Malformed(msg)
    return {name: value for name, value in form.items() if value}


_BODY_ONLY = frozenset({"grant_type", "client_id", "client_secret", "scope", "resource", "token", "token_type_hint"})


def form_decode(raw: bytes) -> str:
    """Decode one urlencoded piece.

    Raises:
        Malformed: not UTF-8, or a NUL inside.
    """
    try:
        text = (unquote_to_bytes(raw.replace(b"+", b" ")) if b"%" in raw or b"+" in raw else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        msg = "The request body is not UTF-8."
        raise Malformed(msg) from error
    if "\0" in text:
        msg = "A parameter holds a NUL character."
        raise Malformed(msg)
    return text
