"""Parses a JSON Web Signature of another party strictly (RFC 7515 §5.2, RFC 8725); verifies nothing.

One spelling only: compact serialization, canonical base64url, JSON as every parser reads it (RFC 7493). Everything a
header could make a careless reader do is refused here: fetch keys or take them from the text itself (``jku``, ``x5u``,
``x5c``, ``jwk``), decompress (``zip``), decrypt (``enc``), or read the payload in another way (``crit``, ``b64``).
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from keys import strict_json

MOST_CHARS: Final = 8 * 1024
COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""Members of a JWK that are no one else's to see (RFC 7518 §6, RFC 9964 §4)."""

_REFUSED: Final = frozenset({"jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk", "cty"})
_LARGEST_INTEGER: Final = 2**53 - 1
"""RFC 7493 §2.2: beyond it, two JSON parsers may read two numbers."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
"""RFC 7515 §2: base64url without padding."""


class MalformedJws(ValueError):
    """The text is no JWS that is read here; has no details, which would be bytes of a stranger."""


@dataclass(frozen=True, slots=True, repr=False)
class Jws:
    """Header and claims as they were sent, unverified. Has no repr: the text may still be good for something."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def alg(self) -> str:
        """The algorithm it names; the key decides whether it is used (RFC 8725 §3.1)."""
        alg = self.header.get("alg")
        return alg if isinstance(alg, str) else ""

    @property
    def kid(self) -> str:
        """The key it names; empty for none."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else ""

    @property
    def typ(self) -> str:
        """The media type in the form of RFC 7515 §4.1.9, in lower case; empty for none."""
        typ = self.header.get("typ")
        return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""


def parse(text: str, also: frozenset[str] = frozenset()) -> Jws:
    """Take a compact JWS apart.

    Args:
        text: what was sent.
        also: header members that this kind has and others may not have, such as ``jwk`` in a DPoP proof.

    Raises:
        MalformedJws: it is not one, is longer than ``MOST_CHARS``, or its header asks for what is never done.
    """
    if len(text) > MOST_CHARS or not COMPACT.fullmatch(text):
        raise MalformedJws
    try:
        signed, _, last = text.rpartition(".")
        head, _, body = signed.partition(".")
        header, claims, signature = json_object(decoded(head)), json_object(decoded(body)), decoded(last)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedJws from error
    if not (_REFUSED | ({"jwk"} - also)).isdisjoint(header):
        raise MalformedJws
    if any(name in header and not isinstance(header[name], str) for name in ("alg", "kid", "typ")):
        raise MalformedJws
    return Jws(header, claims, signed.encode("ascii"), signature)


def encoded(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 §2)."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


def decoded(part: str) -> bytes:
    """The bytes of one part.

    Raises:
        ValueError: not the one spelling of these bytes.
    """
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if encoded(data).decode("ascii") != part:
        msg = "not canonical base64url"
        raise ValueError(msg)
    return data


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object with each name once, in UTF-8, of numbers and texts that exist.

    Raises:
        ValueError: it is not one. TypeError: it is another kind of value.
    """
    value = strict_json.loads(data, parse_float=_parse_float, parse_int=_parse_int)
    if not isinstance(value, dict):
        msg = "not a JSON object"
        raise TypeError(msg)
    if b"\\u" in data:
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text (RFC 8259 §8.2)
    return value


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        msg = "a number is too large"
        raise ValueError(msg)
    return number


def _parse_int(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST_INTEGER:
        msg = "a number is too large"
        raise ValueError(msg)
    return number
