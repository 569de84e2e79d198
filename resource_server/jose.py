"""Reads a compact JWS strictly and verifies its signature (RFC 7515 §5.2, RFC 8725).

Everything cheap comes first: size, shape, alphabet, header. Only one spelling of a token passes, so that a dead one
has no second spelling that lives. PyJWT verifies the signature.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.api_jws import PyJWS

from resource_server.errors import InvalidToken
from resource_server.settings import ALGORITHMS

MAX_TOKEN = 8192
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_MAX_KID = 200

# Each would have the token choose keys, compression or meaning (RFC 8725 §3.9, §3.10; RFC 7797; RFC 7515 §4.1.11).
_REFUSED_MEMBERS = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty"})
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_JWS = PyJWS(algorithms=list(ALGORITHMS))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token's three parts, decoded, nothing verified."""

    text: str
    alg: str
    kid: str
    typ: str
    payload: bytes
    signature: bytes


def parse(text: str, *, algorithms: tuple[str, ...], typ: str, longest: int = MAX_TOKEN) -> Parsed:
    """Take a compact JWS apart.

    Args:
        text: the token.
        algorithms: those that are accepted; the token only chooses among them.
        typ: the exact ``typ`` it must have, ``at+jwt`` compared without letter case (RFC 9068 §4, RFC 7515 §4.1.9).
        longest: how many characters it may have.

    Raises:
        InvalidToken: it is not one, or not of this kind.
    """
    if len(text) > longest:
        raise InvalidToken("too_long")
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise InvalidToken("shape")
    head, body, sign = (_decoded(part) for part in found.groups())
    header = strict_object(head)
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise InvalidToken("header_member")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str) or alg not in algorithms:
        raise InvalidToken("alg")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise InvalidToken("kid")
    if not isinstance(header.get("typ"), str) or header["typ"].lower().removeprefix("application/") != typ.lower():
        raise InvalidToken("typ")
    return Parsed(text, alg, kid, header["typ"], body, sign)


def verify(parsed: Parsed, key: jwt.PyJWK) -> None:
    """Check the signature; the key says which algorithm, and the token must name the same.

    Raises:
        InvalidToken: it is wrong.
    """
    if key.algorithm_name != parsed.alg:
        raise InvalidToken("alg_of_key")
    if parsed.alg == "ES256":
        half = len(parsed.signature) // 2
        if half != 32 or int.from_bytes(parsed.signature[half:], "big") > _P256_ORDER // 2:  # noqa: PLR2004 - P-256
            # The server signs with the lower of the two values of s, so the other one is a copy made by somebody else.
            raise InvalidToken("signature")
    try:
        _JWS.decode_complete(parsed.text, key=key, algorithms=[parsed.alg])
    except jwt.InvalidTokenError:
        raise InvalidToken("signature") from None


def strict_object(data: bytes) -> dict[str, Any]:
    """A JSON object with each name once, in UTF-8 without a byte order mark, of numbers and texts that exist.

    Raises:
        InvalidToken: it is not one.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError):
        raise InvalidToken("json") from None
    if not isinstance(value, dict):
        raise InvalidToken("json")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _decoded(part: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise InvalidToken("base64") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise InvalidToken("base64")  # unused bits are set: a second spelling
    return data
