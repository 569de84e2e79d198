"""Reads the text of a token: what it claims, its keyed hash, and on demand whether its signature and claims are ours.

Nothing here is trusted before ``actions/introspect`` has compared the keyed hash with the recorded one, or has called
``verify``. Nothing is cached: the session row is the cache.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from authserver.oauth.http import dump
from authserver.rules.claims import SessionStart, session_of
from authserver.rules.token_hash import token_hash

Claims = Mapping[str, Any]
Read = Callable[[str], tuple[str, Claims] | None]
"""Token text -> its ``kid`` and verified claims; None when it is not ours."""

MAX_CHARS = 8 * 1024
MAX_HEADER = 512
MAX_KID = 64
_HEADER = {"typ", "alg", "kid"}
_RESPONSE_MEMBERS = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "roles", "role_version", "act")


@dataclass(frozen=True, slots=True, repr=False)
class PresentedToken:
    """A text in the form of our tokens: what it claims, unverified. Has no repr: the text is a credential."""

    text: str
    start: SessionStart
    owner_id: str
    token_hash: str
    response_start: bytes
    """The response of an active token (RFC 7662 §2.2) up to the one value that moves."""

    def response(self, idle_expires_at: int) -> bytes:
        """The response of an active token as JSON."""
        return b"%b%d}" % (self.response_start, idle_expires_at)

    def members(self, idle_expires_at: int) -> dict[str, Any]:
        """The same as a value, to be signed."""
        members: dict[str, Any] = orjson.loads(self.response(idle_expires_at))
        return members


class VerifiedTokens:
    """Parses tokens and verifies them; safe to share between threads."""

    def __init__(self, read: Read, issuer: str, hash_key: bytes) -> None:
        """Take how a text is verified, our issuer identifier, and the key of ``rules/token_hash``."""
        self._read, self._issuer, self._hash_key = read, issuer, hash_key

    def parse(self, text: str) -> PresentedToken | None:
        """What a text claims; None when no token of ours can look like it. The signature is not looked at."""
        if len(text) > MAX_CHARS or not text.isascii():
            return None
        header, _, rest = text.partition(".")
        body, _, signature = rest.partition(".")
        kid = _kid(header)
        if kid is None or not body or not signature:
            return None
        try:
            claims = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValueError, binascii.Error):
            return None
        if not isinstance(claims, dict):
            return None
        start = session_of(kid, claims, self._issuer)
        if start is None:
            return None
        response_start = dump(_response_members(claims))[:-1] + b',"idle_expires_at":'
        return PresentedToken(text, start, claims["sub"], token_hash(self._hash_key, text), response_start)

    def verify(self, token: PresentedToken) -> bool:
        """Whether signature, header and claims are ours, and say what ``parse`` read."""
        found = self._read(token.text)
        if found is None:
            return False
        kid, claims = found
        return session_of(kid, claims, self._issuer) == token.start and claims["sub"] == token.owner_id


@lru_cache(maxsize=128)
def _kid(header: str) -> str | None:
    """The ``kid`` of a header, the same text for all tokens of one key."""
    if len(header) > MAX_HEADER:
        return None
    try:
        members = orjson.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(members, dict) or members.keys() != _HEADER or members["typ"] != "at+jwt":
        return None
    kid = members.get("kid")
    good = isinstance(kid, str) and 0 < len(kid) <= MAX_KID and kid.isascii() and kid.isprintable()
    return kid if good else None  # what no database can hold must not reach it


def _response_members(claims: Claims) -> dict[str, Any]:
    return {"active": True, "token_type": "Bearer", **{name: claims[name] for name in _RESPONSE_MEMBERS}}
