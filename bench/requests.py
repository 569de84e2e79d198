"""Whole HTTP/1.1 requests, and whether an answer to one is right."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode


def post(
    path: str, form: Mapping[str, str], authorization: str = "", headers: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """A form by POST, with HTTP Basic unless the form authenticates."""
    body = urlencode(form).encode()
    fields = {**({"Authorization": authorization} if authorization else {}), **headers}
    more = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str) -> bytes:
    """A GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def fault(kind: str, status: int, body: bytes) -> str:
    """Why an answer is wrong; empty when it is right.

    Args:
        kind: ``token``, ``bound`` (a token of DPoP), ``active``, ``refused`` (also by the throttle), or else a member
            that the answer must have.
        status: the HTTP status.
        body: JSON.
    """
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    if kind == "refused" and (status in {401, 429} or (status == 200 and told == {"active": False})):
        return ""
    if status == 200 and isinstance(told, dict):
        if kind == "token" and told.get("token_type") == "Bearer" and told.get("access_token"):
            return ""
        if kind == "bound" and told.get("token_type") == "DPoP" and told.get("access_token"):
            return ""
        if kind == "active" and told.get("active") is True:
            return ""
        if kind not in {"token", "bound", "active", "refused"} and told.get(kind):
            return ""
    return f"expected {kind}, got {status} {body[:200]!r}"
