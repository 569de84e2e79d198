"""Make, seal and unseal private signing keys. The only file that holds them.

A private key leaves this file only as a ``Signer`` (INV-17), and only after it
has signed once and its public part, named by its ``kid``, has verified that.
ES256 signatures are deterministic (RFC 6979; RFC 8725bis §3.2 SHOULD) and of
the two that verify, (r, s) and (r, n - s), always the one with the lower s: a
token has one spelling.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys import keyring
from keys.master import MasterKey

ALGORITHMS, POST_QUANTUM = keyring.ALGORITHMS, keyring.POST_QUANTUM
RSA_BITS = 3072
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
_P256_BYTES = 32
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_HALF_ORDER = _P256_ORDER // 2
"""The largest s of an ES256 signature made here (SEC 1 §4.1.3; n of FIPS 186-5 P-256)."""

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
)
PublicKey = (
    ec.EllipticCurvePublicKey
    | rsa.RSAPublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
)
Signer = Callable[[bytes], bytes]


class UnusableKey(ValueError):
    """A private key that opens, but is not the one its ``kid`` and ``alg`` promise, or does not work."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key before it enters the ring; ``sealed_private`` is what its key store needs to open the private part."""

    kid: str
    alg: str
    public_jwk: str
    sealed_private: bytes
    key_store: str = "database"


def generate(alg: str) -> PrivateKey:
    """Make a private key for ``alg``.

    Raises:
        ValueError: ``alg`` is not offered.
    """
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if alg in {"RS256", "PS256"}:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if alg == "ML-DSA-44":
        return mldsa.MLDSA44PrivateKey.generate()
    if alg == "ML-DSA-65":
        return mldsa.MLDSA65PrivateKey.generate()
    msg = f"unknown algorithm {alg!r}; choose one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
    raise ValueError(msg)


def make(alg: str, master: MasterKey) -> NewKey:
    """Make a key for ``alg`` and seal it under the master key.

    Raises:
        ValueError: ``alg`` is not offered.
    """
    return seal(generate(alg), alg, master)


def seal(private: PrivateKey, alg: str, master: MasterKey) -> NewKey:
    """Seal a private key under the master key.

    Raises:
        UnusableKey: not a key for ``alg``, or it fails its self-test.
    """
    kid, jwk = describe(alg, private.public_key())
    signer_of(kid, alg, private)
    return NewKey(kid, alg, jwk, master.seal(_purpose(kid), to_der(private)))


def to_der(private: PrivateKey) -> bytes:
    """PKCS #8, unencrypted."""
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def describe(alg: str, public: PublicKey) -> tuple[str, str]:
    """The ``kid`` (RFC 7638) and the public JWK of a key, as it is published."""
    members = _public_members(alg, public)
    kid = thumbprint(members)
    return kid, json.dumps({**members, "kid": kid, "alg": alg, "use": "sig"}, separators=(",", ":"))


def unseal(kid: str, alg: str, sealed: bytes, master: MasterKey) -> Signer:
    """Open a sealed private key as a function that signs.

    Raises:
        WrongMasterKey: not sealed under this master key, or for another key.
        UnusableKey: not the private part of ``kid``, not for ``alg``, or it fails its self-test.
    """
    opened = master.open(_purpose(kid), sealed)
    try:
        private = serialization.load_der_private_key(opened, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = f"the private part of key {kid} is broken"
        raise UnusableKey(msg) from error
    return signer_of(kid, alg, private)


def public_of(jwk: Mapping[str, object]) -> PublicKey:
    """The public key of an ML-DSA JWK (RFC 9964 §3).

    Raises:
        UnusableKey: no such key.
    """
    kind = _MLDSA.get(str(jwk.get("alg")))
    if jwk.get("kty") != "AKP" or kind is None:
        msg = "this is no ML-DSA key"
        raise UnusableKey(msg)
    text = str(jwk.get("pub", ""))
    try:
        return kind.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        msg = "the ML-DSA key is broken"
        raise UnusableKey(msg) from error


_MLDSA: Mapping[str, type[mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey]] = {
    "ML-DSA-44": mldsa.MLDSA44PublicKey,
    "ML-DSA-65": mldsa.MLDSA65PublicKey,
}


def reseal(kid: str, sealed: bytes, master: MasterKey) -> bytes | None:
    """Seal a private key anew under the present master key; None when it is already.

    Raises:
        WrongMasterKey: neither master key opens it.
    """
    purpose = _purpose(kid)
    return None if master.opens_alone(purpose, sealed) else master.seal(purpose, master.open(purpose, sealed))


def signer_of(kid: str, alg: str, private: object) -> Signer:
    """A private key as a function that signs, once it has proven that it is ``kid`` and works.

    Raises:
        UnusableKey: not the private part of ``kid``, not for ``alg``, or it fails its self-test.
    """
    sign, verify = _sign_and_verify(kid, alg, private)
    self_test(kid, sign, verify)
    return sign


def _sign_and_verify(kid: str, alg: str, private: object) -> tuple[Signer, Callable[[bytes, bytes], None]]:
    """How to sign with a key, and how anybody verifies it (which raises ``InvalidSignature``)."""
    if not isinstance(private, PrivateKey) or thumbprint(_public_members(alg, private.public_key())) != kid:
        msg = f"the private part of key {kid} belongs to another key"
        raise UnusableKey(msg)
    verify = verifier(alg, private.public_key())
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return _es256(private), verify
    if isinstance(private, rsa.RSAPrivateKey):
        form = padding.PKCS1v15() if alg == "RS256" else _PSS
        return lambda data: private.sign(data, form, SHA256()), verify
    return private.sign, verify


def verifier(alg: str, public: PublicKey) -> Callable[[bytes, bytes], None]:
    """How anybody verifies a signature: a function of signature and data that raises ``InvalidSignature``.

    Raises:
        UnusableKey: not a key for ``alg``.
    """
    if alg == "ES256" and isinstance(public, ec.EllipticCurvePublicKey):
        return _es256_verify(public)
    if alg in {"RS256", "PS256"} and isinstance(public, rsa.RSAPublicKey):
        form = padding.PKCS1v15() if alg == "RS256" else _PSS
        return lambda signature, data: public.verify(signature, data, form, SHA256())
    if any(alg == name and isinstance(public, kind) for name, kind in _PLAIN):
        return public.verify  # type: ignore[return-value]
    msg = f"this is not a key for {alg}"
    raise UnusableKey(msg)


_PLAIN = (
    ("EdDSA", ed25519.Ed25519PublicKey),
    ("ML-DSA-44", mldsa.MLDSA44PublicKey),
    ("ML-DSA-65", mldsa.MLDSA65PublicKey),
)
"""Algorithms whose keys sign the data as it is."""


def self_test(kid: str, sign: Signer, verify: Callable[[bytes, bytes], None]) -> None:
    """Sign once and verify it.

    Raises:
        UnusableKey: the signature is not good.
    """
    try:
        verify(sign(b"self-test"), b"self-test")
    except InvalidSignature as error:
        msg = f"key {kid} does not verify what it signs"
        raise UnusableKey(msg) from error


def thumbprint(members: dict[str, str]) -> str:
    """RFC 7638 SHA-256 thumbprint of the required public members."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _b64(hashlib.sha256(text.encode()).digest())


def _es256(private: ec.EllipticCurvePrivateKey) -> Signer:
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)

    def sign(data: bytes) -> bytes:
        return low_s(*decode_dss_signature(private.sign(data, algorithm)))

    return sign


def low_s(r: int, s: int) -> bytes:
    """An ES256 signature (RFC 7518 §3.4) in the one spelling that is accepted here."""
    return r.to_bytes(_P256_BYTES, "big") + min(s, _P256_ORDER - s).to_bytes(_P256_BYTES, "big")


def _es256_verify(public: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], None]:
    def verify(signature: bytes, data: bytes) -> None:
        r, s = (int.from_bytes(half, "big") for half in (signature[:_P256_BYTES], signature[_P256_BYTES:]))
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))

    return verify


def _public_members(alg: str, public: PublicKey) -> dict[str, str]:
    if isinstance(public, ec.EllipticCurvePublicKey):
        if not isinstance(public.curve, ec.SECP256R1):
            msg = f"an EC key on {public.curve.name} is offered, and only P-256 is taken"
            raise UnusableKey(msg)
        numbers = public.public_numbers()
        x, y = (_b64(number.to_bytes(_P256_BYTES, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    if isinstance(public, rsa.RSAPublicKey):
        both = public.public_numbers()
        return {"kty": "RSA", "n": _b64_number(both.n), "e": _b64_number(both.e)}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _b64(public.public_bytes_raw())}
    # RFC 9964 §6: the thumbprint covers alg as well.
    return {"kty": "AKP", "alg": alg, "pub": _b64(public.public_bytes_raw())}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _b64_number(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _purpose(kid: str) -> str:
    return f"signing-key:{kid}"
