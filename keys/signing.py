"""Sign and read the text of a token. The only file that knows PyJWT.

Reading is strict where it must be: compact form and canonical base64url only, the
algorithm is the key's and never the header's, ``typ`` must be the one asked for.
A text that was verified once is remembered by its exact bytes: the signature
never changes, and everything that can change is asked of the database.
"""

import base64
import binascii
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import jwt

from keys.material import Signer

MAX_TOKEN_CHARS: Final = 8 * 1024
_REMEMBERED: Final = 20_000
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ALGORITHMS: Final = {"ES256", "RS256", "PS256", "EdDSA"}

Claims = Mapping[str, Any]


class TokenSigner:
    """Signs claims with one key; the header's bytes are made once per type."""

    __slots__ = ("_header", "_sign", "alg", "kid")

    def __init__(self, kid: str, alg: str, sign: Signer) -> None:
        self.kid, self.alg, self._sign = kid, alg, sign
        self._header: dict[str, bytes] = {}

    def sign(self, claims: Claims, typ: str = "at+jwt") -> str:
        """Make the compact serialization (RFC 7515 §7.1) of ``claims``."""
        header = self._header.get(typ)
        if header is None:
            header = _encode(_dump({"typ": typ, "alg": self.alg, "kid": self.kid}))
            self._header[typ] = header
        signed = header + b"." + _encode(_dump(claims))
        return (signed + b"." + _encode(self._sign(signed))).decode("ascii")


class TokenReader:
    """Reads texts that one of ``keys`` signed; safe to share between threads."""

    def __init__(self, public_jwks: Mapping[str, Mapping[str, Any]]) -> None:
        """Take public JWKs by ``kid``; each is bound to its ``alg``."""
        self._keys = {
            kid: (jwk["alg"], jwt.PyJWK(dict(jwk)).key)
            for kid, jwk in public_jwks.items()
            if jwk.get("alg") in _ALGORITHMS
        }
        self._known: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, kid: str) -> bool:
        """Whether a key of that id can be read."""
        return kid in self._keys

    def read(self, text: str, typ: str = "at+jwt") -> tuple[str, Claims] | None:
        """Verify ``text``; its ``kid`` and claims, or None when it is not ours.

        Checks the signature, header and JSON only. Issuer, audience and every
        date are the caller's to judge, each time anew.
        """
        if len(text) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(text):
            return None
        digest = hashlib.sha256(f"{typ} {text}".encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        try:
            fresh = self._verify(text, typ)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, jwt.PyJWTError, binascii.Error):
            return None
        if fresh is not None:
            with self._lock:
                self._known[digest] = fresh
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return fresh

    def peek_kid(self, text: str) -> str | None:
        """The ``kid`` a compact text claims, unverified: only good for "do we know it yet?"."""
        if len(text) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(text):
            return None
        try:
            kid = _load(_decode(text.split(".", 1)[0])).get("kid")
        except (ValueError, binascii.Error, RecursionError, AttributeError):
            return None
        return kid if isinstance(kid, str) else None

    def _verify(self, text: str, typ: str) -> tuple[str, Claims] | None:
        parts = text.split(".")
        decoded = [_decode(part) for part in parts]
        header = _load(decoded[0])
        if header.keys() - {"typ", "alg", "kid"} or header["typ"] != typ:
            return None
        kid = header["kid"]
        if not isinstance(kid, str) or kid not in self._keys:
            return None
        alg, key = self._keys[kid]
        if header["alg"] != alg:
            return None
        jwt.PyJWS(algorithms=[alg]).decode_complete(text, key=key, algorithms=[alg])
        claims = _load(decoded[1])
        return kid, claims


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(part: str) -> bytes:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _encode(data).decode("ascii") != part:
        msg = "not canonical base64url"
        raise ValueError(msg)
    return data


def _load(data: bytes) -> dict[str, Any]:
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(value, dict):
        msg = "not a JSON object"
        raise TypeError(msg)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member stands twice"
        raise ValueError(msg)
    return members


def _no_constant(name: str) -> Any:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
