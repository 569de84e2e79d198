"""Reads the text of a token: which rows it points at, its keyed hash, and on demand what it claims and who signed it.

Nothing here is trusted before ``actions/introspect`` has compared the keyed hash with the recorded one, or has called
``verify``. Nothing is cached: the session row is the cache. So an introspection reads as little as it can: the claims
of a text whose hash was recorded are those this server signed, and are not checked again.
"""

from binascii import Error, a2b_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from authserver.ports.hot_path import TokenKeys
from authserver.ports.resource_servers import TOKEN_TYPES
from authserver.rules.claims import JKT, SessionStart, is_id, session_of, signed_session
from authserver.rules.client_authentication.certificate import THUMBPRINT
from authserver.rules.token_hash import token_hash

Claims = Mapping[str, Any]
Read = Callable[[str, str], tuple[str, Claims] | None]
"""Token text and ``typ`` -> its ``kid`` and verified claims; None when it is not ours."""

MAX_CHARS = 8 * 1024
MAX_HEADER = 512
_HEADER = {"typ", "alg", "kid"}


class PresentedToken:
    """A text in the form of our tokens, unverified. Has no repr: the text is a credential."""

    __slots__ = ("_claims", "_issuer", "keys", "text", "token_hash", "typ")

    def __init__(self, text: str, keys: TokenKeys, claims: Claims, *, typ: str, issuer: str, text_hash: str) -> None:
        """Take the text, the rows it points at, its claims and ``typ``, our issuer, and ``rules/token_hash``."""
        self.text, self.keys, self.typ, self.token_hash = text, keys, typ, text_hash
        self._claims, self._issuer = claims, issuer

    def recorded_start(self) -> SessionStart:
        """What it was issued as; only for a text whose hash was recorded, since nothing is checked."""
        return signed_session(self.keys.kid, self._claims)

    def claimed_start(self) -> SessionStart | None:
        """What it claims to have been issued as; None when we make no such claims."""
        return session_of(self.keys.kid, self._claims, self._issuer)

    @property
    def owner_id(self) -> str:
        """The ``sub`` it claims."""
        return str(self._claims["sub"])

    def members(self, idle_expires_at: int, lease: int) -> dict[str, Any]:
        """The members of the response of an active token (RFC 7662 §2.2)."""
        claims = self._claims
        members = {
            "active": True,
            "token_type": "Bearer",
            # One by one: a loop over the names takes twice as long, and this is in every answer.
            "scope": claims["scope"],
            "client_id": claims["client_id"],
            "exp": claims["exp"],
            "iat": claims["iat"],
            "sub": claims["sub"],
            "aud": claims["aud"],
            "iss": claims["iss"],
            "jti": claims["jti"],
            "roles": claims["roles"],
            "role_version": claims["role_version"],
            "act": claims["act"],
            "idle_expires_at": idle_expires_at,
            "lease_seconds": lease,
        }
        if "cnf" in claims:  # RFC 9449 §6.2, RFC 8705 §3.2: the resource server must see a proof, or the certificate
            members["cnf"] = claims["cnf"]
            if JKT in claims["cnf"]:
                members |= {"token_type": "DPoP"}
        return members

    @property
    def jkt(self) -> str:
        """The thumbprint of the key it is bound to; empty for none."""
        return str(self._claims["cnf"].get(JKT, "")) if "cnf" in self._claims else ""

    @property
    def x5t(self) -> str:
        """The thumbprint of the TLS certificate it is bound to; empty for none."""
        return str(self._claims["cnf"].get(THUMBPRINT, "")) if "cnf" in self._claims else ""


class VerifiedTokens:
    """Parses tokens and verifies them; safe to share between threads."""

    def __init__(self, read: Read, issuer: str, hash_key: bytes) -> None:
        """Take how a text is verified, our issuer identifier, and the key of ``rules/token_hash``."""
        self._read, self._issuer, self._hash_key = read, issuer, hash_key

    def parse(self, text: str) -> PresentedToken | None:
        """Which rows a text points at; None when it has not the form of our tokens. The signature is not checked."""
        if len(text) > MAX_CHARS or not text.isascii():
            return None
        header, _, rest = text.partition(".")
        body, _, signature = rest.partition(".")
        found = _kid_and_typ(header)
        if found is None or not signature:
            return None
        kid, typ = found
        claims = _json(body)
        try:
            jti, client_id, secret_id = claims["jti"], claims["client_id"], claims["standing"]["secret"]
            if claims["iss"] != self._issuer:
                return None
        except (KeyError, TypeError):
            return None
        if not (is_id(jti) and is_id(client_id) and is_id(secret_id)):
            return None  # what no database can hold must not reach it
        keys = TokenKeys(jti, client_id, secret_id, kid)
        return PresentedToken(
            text, keys, claims, typ=typ, issuer=self._issuer, text_hash=token_hash(self._hash_key, text)
        )

    def verify(self, token: PresentedToken) -> bool:
        """Whether signature, header and claims are ours, and say what ``parse`` read."""
        found = self._read(token.text, token.typ)
        if found is None:
            return False
        kid, claims = found
        start = session_of(kid, claims, self._issuer)
        return start is not None and start == token.claimed_start() and claims["sub"] == token.owner_id

    def verified_start(self, text: str) -> SessionStart | None:
        """What a text was issued as; None when it is no token of ours."""
        token = self.parse(text)
        return token.claimed_start() if token is not None and self.verify(token) else None


@lru_cache(maxsize=128)
def _kid_and_typ(header: str) -> tuple[str, str] | None:
    """``kid`` and ``typ`` of a header, the same text for all tokens of one key and API."""
    members = _json(header) if len(header) <= MAX_HEADER else None
    if not isinstance(members, dict) or members.keys() != _HEADER or members["typ"] not in TOKEN_TYPES:
        return None
    kid = members["kid"]
    return (kid, members["typ"]) if is_id(kid) else None


def _json(part: str) -> Any:
    """One ASCII part of a JWS as a value; None when it is no JSON in base64url."""
    try:
        return orjson.loads(a2b_base64(part.encode("ascii").translate(_STANDARD) + b"=="))
    except (ValueError, Error):
        return None


_STANDARD = bytes.maketrans(b"-_", b"+/")
