"""Sign and read the text of a token. The only file that knows PyJWT.

Reading is strict where it must be: compact form and canonical base64url only, the
algorithm is the key's and never the header's, ``typ`` must be the one asked for,
no header member but ours, JSON as every parser reads it. So a token has exactly
one spelling, and every other one is no token of ours.
"""

from collections.abc import Mapping
from typing import Any, Final

import jwt
import orjson
from cryptography.exceptions import InvalidSignature

from keys.jws import COMPACT, MOST_CHARS, PRIVATE_MEMBERS, decoded, encoded, json_object
from keys.keyring import POST_QUANTUM
from keys.material import P256_HALF_ORDER, Signer, UnusableKey, public_of, verifier

MAX_TOKEN_CHARS: Final = MOST_CHARS
_HEADER: Final = {"typ", "alg", "kid"}
_KINDS: Final = {
    "ES256": ("EC", "P-256"),
    "RS256": ("RSA", None),
    "PS256": ("RSA", None),
    "EdDSA": ("OKP", "Ed25519"),
    **dict.fromkeys(POST_QUANTUM, ("AKP", None)),
}
"""RFC 7518 §3.1, RFC 8037 §3.1, RFC 9964 §3; PyJWT would take ES256 on P-384."""
_UNREADABLE: Final = (ValueError, TypeError, KeyError, RecursionError, jwt.PyJWTError)
"""Whatever a hostile text makes the parsers raise."""

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
            header = encoded(orjson.dumps({"typ": typ, "alg": self.alg, "kid": self.kid}))
            self._header[typ] = header
        signed = header + b"." + encoded(orjson.dumps(claims))
        return (signed + b"." + encoded(self._sign(signed))).decode("ascii")


class TokenReader:
    """Reads texts that one of ``keys`` signed; safe to share between threads."""

    __slots__ = ("_keys",)

    def __init__(self, public_jwks: Mapping[str, Mapping[str, Any]]) -> None:
        """Take public JWKs by ``kid``; each is bound to its ``alg``.

        A key for another algorithm or another use is passed over: a newer version
        of this server may have made it.

        Raises:
            ValueError: a JWK is broken, weak, not for its ``alg``, or holds a private member.
        """
        self._keys = {
            kid: (_PostQuantum if jwk.get("alg") in POST_QUANTUM else _Verifier)(kid, jwk)
            for kid, jwk in public_jwks.items()
            if jwk.get("alg") in _KINDS and jwk.get("use") == "sig"
        }

    def __contains__(self, kid: str) -> bool:
        """Whether a key of that id can be read."""
        return kid in self._keys

    def read(self, text: str, typ: str = "at+jwt") -> tuple[str, Claims] | None:
        """Verify ``text``; its ``kid`` and claims, or None when it is not ours.

        Checks the signature, header and JSON only. Issuer, audience and every
        date are the caller's to judge, each time anew. Never raises.
        """
        if len(text) > MAX_TOKEN_CHARS or not COMPACT.fullmatch(text):
            return None
        try:
            return self._verify(text, typ)
        except _UNREADABLE:
            return None

    def peek_kid(self, text: str) -> str | None:
        """The ``kid`` a compact text claims, unverified: only good for "do we know it yet?"."""
        if len(text) > MAX_TOKEN_CHARS or not COMPACT.fullmatch(text):
            return None
        try:
            kid = json_object(decoded(text.partition(".")[0])).get("kid")
        except _UNREADABLE:
            return None
        return kid if isinstance(kid, str) else None

    def _verify(self, text: str, typ: str) -> tuple[str, Claims] | None:
        signed, _, last = text.rpartition(".")
        head, _, body = signed.partition(".")
        header, signature = json_object(decoded(head)), decoded(last)
        if header.keys() != _HEADER or header["typ"] != typ:
            return None
        kid = header["kid"]
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None or header["alg"] != key.alg or not key.verifies(signed.encode("ascii"), signature):
            return None
        return kid, json_object(decoded(body))


class _PostQuantum:
    """A public ML-DSA key, which PyJWT does not know."""

    __slots__ = ("_verify", "alg")

    def __init__(self, kid: str, jwk: Mapping[str, Any]) -> None:
        self.alg: str = jwk["alg"]
        _check_public(kid, jwk)
        try:
            self._verify = verifier(self.alg, public_of(jwk))
        except UnusableKey as error:
            msg = f"the public JWK of key {kid} is broken"
            raise ValueError(msg) from error

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether the key made ``signature``."""
        try:
            self._verify(signature, signed)
        except InvalidSignature:
            return False
        return True


def _check_public(kid: str, jwk: Mapping[str, Any]) -> None:
    if jwk.keys() & PRIVATE_MEMBERS:
        msg = f"the public JWK of key {kid} holds a private member"
        raise ValueError(msg)
    if (jwk.get("kty"), jwk.get("crv")) != _KINDS[jwk["alg"]]:
        msg = f"the public JWK of key {kid} is not a key for {jwk['alg']}"
        raise ValueError(msg)


class _Verifier:
    """A public key, bound to its algorithm for life."""

    __slots__ = ("_jwk", "alg")

    def __init__(self, kid: str, jwk: Mapping[str, Any]) -> None:
        self.alg: str = jwk["alg"]
        _check_public(kid, jwk)
        try:
            self._jwk = jwt.PyJWK(dict(jwk), self.alg)
        except jwt.PyJWTError as error:
            msg = f"the public JWK of key {kid} is broken"
            raise ValueError(msg) from error
        if weak := self._jwk.Algorithm.check_key_length(self._jwk.key):
            msg = f"key {kid} is too weak: {weak}"
            raise ValueError(msg)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether the key made ``signature``, in the one spelling we make.

        Whoever holds an ES256 token can make its twin (r, n - s), which verifies
        as well; only the lower s is ours.
        """
        if self.alg == "ES256" and int.from_bytes(signature[len(signature) // 2 :], "big") > P256_HALF_ORDER:
            return False
        return self._jwk.Algorithm.verify(signed, self._jwk.key, signature)
