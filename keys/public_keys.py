"""Takes in the public keys of clients, refuses weak ones, and verifies what the private halves signed.

A key is read once, when it is registered, into a JWK of its public members with one algorithm for life (RFC 8725 §3.1):
what a client presents later chooses neither key type nor algorithm. There is no HMAC here, so a public key can never be
taken for a shared secret (RFC 8725 §2.1).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from keys.import_key import FLOOR_RSA_BITS, WeakKey, check_public_rsa
from keys.jws import PRIVATE_MEMBERS, decoded, json_object
from keys.material import PublicKey, UnusableKey, describe, public_of, thumbprint, verifier

ALGORITHMS: Final = ("ES256", "PS256", "EdDSA", "RS256", "ML-DSA-44", "ML-DSA-65")
"""What a client may sign with (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9964 §3); there is no ``none`` and no HMAC."""

SAME_AS: Final[Mapping[str, str]] = {"Ed25519": "EdDSA"}
"""RFC 9864 §2.2 names the same algorithm anew, fully specified."""

MOST_TEXT: Final = 16 * 1024
"""Characters of a pasted key."""

_MOST_KID: Final = 128
_SIGNATURE_BYTES: Final = {"ES256": 64, "EdDSA": 64}
_MLDSA_OF: Final = ((mldsa.MLDSA44PublicKey, "ML-DSA-44"), (mldsa.MLDSA65PublicKey, "ML-DSA-65"))

Verify = Callable[[bytes, bytes], bool]
"""Signature and data -> whether the key made it."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A public key that was found good: its JWK as text, its algorithm, and its RFC 7638 thumbprint."""

    jwk: str
    alg: str
    thumbprint: str


def read(text: str, alg: str = "") -> ClientKey:
    """Read a public key from PEM (SubjectPublicKeyInfo) or from one JWK (RFC 7517).

    Args:
        text: as it was pasted.
        alg: the algorithm it signs with; needed for an RSA key without ``alg``, which fits RS256 and PS256.

    Raises:
        WeakKey: unreadable, private, unfit for ``alg``, or weak; the text says what to bring instead.
    """
    text = text.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not text or len(text) > MOST_TEXT:
        msg = f"paste one public key, as PEM or as JWK, of {MOST_TEXT} characters at most"
        raise WeakKey(msg)
    members = _members(text) if text.startswith("{") else {}
    public = _from_jwk(members) if members else _from_pem(text)
    named = str(members.get("alg", ""))
    if named and alg and SAME_AS.get(named, named) != alg:
        msg = f"the JWK says that it signs with {named[:_MOST_KID]}, not with {alg}"
        raise WeakKey(msg)
    return _made(public, SAME_AS.get(named, named) or alg, members.get("kid"))


def of_jwk(members: Mapping[str, Any], alg: str) -> ClientKey:
    """A public key that came as JSON members, for one algorithm.

    Raises:
        WeakKey: private, malformed, unfit for ``alg``, or weak.
    """
    _check_members(members)
    return _made(_from_jwk(members), SAME_AS.get(alg, alg), None)


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A key as it is used: ``kid`` is what the client calls it, else its ``thumbprint``."""

    alg: str
    kid: str
    thumbprint: str
    verifies: Verify


@lru_cache(maxsize=1024)
def registered(jwk: str) -> RegisteredKey:
    """A key by the text that ``read`` made of it; parsed once for each text.

    Raises:
        WeakKey: the text is no registered key.
    """
    members: dict[str, Any] = json.loads(jwk)
    own = thumbprint({name: members[name] for name in _REQUIRED[members["kty"]]})
    return RegisteredKey(members["alg"], members["kid"], own, _verify(members["alg"], _from_jwk(members)))


def verify_with_nobody(alg: str) -> Verify:
    """Verifies against a key without a holder and fails, so that a refusal takes the same time (INV-29)."""
    return _key_without_holder(alg if alg in ALGORITHMS else "ES256")


@lru_cache(maxsize=len(ALGORITHMS))
def _key_without_holder(alg: str) -> Verify:
    keys: dict[str, Callable[[], PublicKey]] = {
        "ES256": lambda: ec.derive_private_key(1, ec.SECP256R1()).public_key(),
        "EdDSA": lambda: ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(),
        "ML-DSA-44": lambda: mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key(),
        "ML-DSA-65": lambda: mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes(32)).public_key(),
    }
    # Any odd modulus takes the time of an RSA key; nobody knows the factors of this one.
    odd = keys.get(alg, lambda: rsa.RSAPublicNumbers(65537, 2**2048 - 1942289).public_key())
    verify = _verify(alg, odd())

    def never(signature: bytes, data: bytes) -> bool:
        verify(signature, data)
        return False

    return never


def _verify(alg: str, public: PublicKey) -> Verify:
    raises, length = verifier(alg, public), _SIGNATURE_BYTES.get(alg)

    def verify(signature: bytes, data: bytes) -> bool:
        if length is not None and len(signature) != length:
            return False  # RFC 7518 §3.4: both halves in full length
        try:
            raises(signature, data)
        except InvalidSignature:
            return False
        return True

    return verify


def _made(public: PublicKey, alg: str, kid: object) -> ClientKey:
    alg = _algorithm(public, alg)
    own, jwk = describe(alg, public)
    if isinstance(kid, str) and 0 < len(kid) <= _MOST_KID and kid.isprintable():
        jwk = json.dumps({**json.loads(jwk), "kid": kid}, separators=(",", ":"))
    verifier(alg, public)
    return ClientKey(jwk, alg, own)


def _algorithm(public: PublicKey, alg: str) -> str:
    if isinstance(public, rsa.RSAPublicKey):
        check_public_rsa(public, FLOOR_RSA_BITS)
        fitting: tuple[str, ...] = ("PS256", "RS256")
    elif isinstance(public, ec.EllipticCurvePublicKey):
        fitting = ("ES256",)
    elif isinstance(public, ed25519.Ed25519PublicKey):
        fitting = ("EdDSA",)
    else:
        fitting = tuple(name for kind, name in _MLDSA_OF if isinstance(public, kind))
    if not alg and len(fitting) > 1:
        msg = "an RSA key signs with PS256 or with RS256: choose the one that the client uses"
        raise WeakKey(msg)
    if alg and alg not in fitting:
        msg = f"this key signs with {' or '.join(fitting)}, not with {alg[:_MOST_KID]}"
        raise WeakKey(msg)
    return alg or fitting[0]


def _members(text: str) -> dict[str, Any]:
    try:
        members = json_object(text.encode("utf-8"))
    except (ValueError, TypeError, RecursionError) as error:
        msg = "the JWK is no JSON object, or has a member twice"
        raise WeakKey(msg) from error
    several = members.get("keys")
    if isinstance(several, list):
        if len(several) != 1 or not isinstance(several[0], dict):
            msg = "a set of keys is pasted: paste the one key that is meant"
            raise WeakKey(msg)
        members = several[0]
    _check_members(members)
    return members


def _check_members(members: Mapping[str, Any]) -> None:
    if members.keys() & PRIVATE_MEMBERS:
        raise WeakKey(_IS_PRIVATE)
    operations = members.get("key_ops")
    if members.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        msg = "the JWK is not meant for signatures"
        raise WeakKey(msg)


def _from_jwk(members: Mapping[str, Any]) -> PublicKey:
    try:
        return _KINDS[str(members["kty"])](members)
    except WeakKey:
        raise
    except KeyError as error:
        msg = "the JWK lacks a member, or its key type is none of EC, RSA, OKP and AKP"
        raise WeakKey(msg) from error
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        msg = "the JWK is malformed, or its numbers are no key"
        raise WeakKey(msg) from error


def _ec(members: Mapping[str, Any]) -> PublicKey:
    if members["crv"] != "P-256":
        msg = "an EC key is on P-256 here, for ES256"
        raise WeakKey(msg)
    x, y = decoded(members["x"]), decoded(members["y"])
    if len(x) != len(y) or len(x) != 32:  # noqa: PLR2004 - RFC 7518 §6.2.1.2: the full length of P-256
        raise ValueError
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    return numbers.public_key()


def _rsa(members: Mapping[str, Any]) -> PublicKey:
    e, n = (int.from_bytes(decoded(members[name]), "big") for name in ("e", "n"))
    public = rsa.RSAPublicNumbers(e, n).public_key()
    check_public_rsa(public, FLOOR_RSA_BITS)
    return public


def _okp(members: Mapping[str, Any]) -> PublicKey:
    if members["crv"] != "Ed25519":
        msg = "an OKP key is on Ed25519 here, for EdDSA"
        raise WeakKey(msg)
    return ed25519.Ed25519PublicKey.from_public_bytes(decoded(members["x"]))


def _akp(members: Mapping[str, Any]) -> PublicKey:
    decoded(members["pub"])
    try:
        return public_of(members)
    except UnusableKey as error:
        raise WeakKey(str(error)) from error


_KINDS: Final = {"EC": _ec, "RSA": _rsa, "OKP": _okp, "AKP": _akp}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
}
"""RFC 7638 §3.2, RFC 8037 §2, RFC 9964 §6."""


def _from_pem(text: str) -> PublicKey:
    if "PRIVATE KEY" in text:
        raise WeakKey(_IS_PRIVATE)
    try:
        public = serialization.load_pem_public_key(text.encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm) as error:
        msg = "no public key can be read from it; paste what `openssl pkey -in key.pem -pubout` prints, or a JWK"
        raise WeakKey(msg) from error
    if not isinstance(public, PublicKey):
        msg = "a key of this type cannot be used; make one for ES256, EdDSA, PS256, RS256 or ML-DSA"
        raise WeakKey(msg)
    if isinstance(public, ec.EllipticCurvePublicKey) and not isinstance(public.curve, ec.SECP256R1):
        msg = f"the EC key is on {public.curve.name}; make one on P-256, for ES256"
        raise WeakKey(msg)
    return public


_IS_PRIVATE: Final = (
    "this holds a private key, which must never leave the client: make a new pair and paste its public half"
)
