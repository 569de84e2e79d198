"""Reads the text of a token into what the verbs and the answer need, once for each text.

Of a verified text nothing ever changes: neither what it says nor what an
introspection repeats of it. Whether it is alive is asked of the database each
time, and is not remembered here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authserver.oauth.http import dump
from authserver.rules.claims import SessionStart, session_of

Claims = Mapping[str, Any]
Read = Callable[[str], tuple[str, Claims] | None]
"""Token text -> its ``kid`` and verified claims, the same objects for the same text; None when it is not ours."""

CACHE_SIZE = 2_500
"""How many tokens a worker keeps in mind, by text, by meaning and by question; ``keys.signing`` keeps as many."""
_RESPONSE_MEMBERS = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "roles", "role_version", "act")


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token of ours: what it was issued as, and the answer about it up to the one value that moves."""

    claims: Claims
    start: SessionStart
    told: bytes

    def answer(self, idle_expires_at: int) -> bytes:
        """The answer of an active token (RFC 7662 §2.2) as JSON."""
        return b"%b%d}" % (self.told, idle_expires_at)

    def members(self, idle_expires_at: int) -> dict[str, Any]:
        """The same as a value, to be signed."""
        return {**_response_members(self.claims), "idle_expires_at": idle_expires_at}


class VerifiedTokens:
    """What was read back; safe to share between threads."""

    def __init__(self, read: Read, issuer: str) -> None:
        self._read, self._issuer = read, issuer
        self._known: dict[str, VerifiedToken] = {}

    def get(self, text: str) -> VerifiedToken | None:
        """What a text says; None when it is no token of ours."""
        found = self._read(text)
        if found is None:
            return None
        kid, claims = found
        jti = claims.get("jti")
        known = self._known.get(jti) if isinstance(jti, str) else None
        # The very object, not an equal one: nothing else can be sure to be what was verified.
        if known is not None and known.claims is claims:
            return known
        start = session_of(kid, claims, self._issuer)
        if start is None:
            return None
        fresh = VerifiedToken(claims, start, dump(_response_members(claims))[:-1] + b',"idle_expires_at":')
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[start.jti] = fresh
        return fresh


def _response_members(claims: Claims) -> dict[str, Any]:
    return {"active": True, "token_type": "Bearer", **{name: claims[name] for name in _RESPONSE_MEMBERS}}
