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
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.master import MasterKey

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
RSA_BITS = 3072
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
_P256_BYTES = 32
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_HALF_ORDER = _P256_ORDER // 2
"""The largest s of an ES256 signature made here (SEC 1 §4.1.3; n of FIPS 186-5 P-256)."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Signer = Callable[[bytes], bytes]


class UnusableKey(ValueError):
    """A private key that opens, but is not the one its ``kid`` and ``alg`` promise, or does not work."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A freshly made key, its private part sealed."""

    kid: str
    alg: str
    public_jwk: str
    sealed_private: bytes


def make(alg: str, master: MasterKey) -> NewKey:
    """Make a key for ``alg`` and seal it under the master key.

    Raises:
        ValueError: ``alg`` is not one of ``ALGORITHMS``.
    """
    private: PrivateKey
    if alg == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    elif alg in {"RS256", "PS256"}:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    elif alg == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        msg = f"unknown algorithm {alg!r}; choose one of {', '.join(ALGORITHMS)}"
        raise ValueError(msg)
    members = _public_members(private)
    kid = thumbprint(members)
    jwk = json.dumps({**members, "kid": kid, "alg": alg, "use": "sig"}, separators=(",", ":"))
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return NewKey(kid, alg, jwk, master.seal(_purpose(kid), der))


def unseal(kid: str, alg: str, sealed: bytes, master: MasterKey) -> Signer:
    """Open a sealed private key as a function that signs.

    Raises:
        WrongMasterKey: not sealed under this master key, or for another key.
        UnusableKey: not the private part of ``kid``, not for ``alg``, or it fails its self-test.
    """
    opened = master.open(_purpose(kid), sealed)
    try:
        private = serialization.load_der_private_key(opened, password=None)
    except ValueError as error:
        msg = f"the private part of key {kid} is broken"
        raise UnusableKey(msg) from error
    sign, verify = _both_ways(kid, alg, private)
    _self_test(kid, sign, verify)
    return sign


def _both_ways(kid: str, alg: str, private: object) -> tuple[Signer, Callable[[bytes, bytes], None]]:
    """How to sign with a key, and how anybody verifies it (which raises ``InvalidSignature``)."""
    if not isinstance(private, PrivateKey) or thumbprint(_public_members(private)) != kid:
        msg = f"the private part of key {kid} belongs to another key"
        raise UnusableKey(msg)
    if alg == "ES256" and isinstance(private, ec.EllipticCurvePrivateKey):
        return _es256(private), _es256_verify(private.public_key())
    if alg in {"RS256", "PS256"} and isinstance(private, rsa.RSAPrivateKey):
        form = padding.PKCS1v15() if alg == "RS256" else _PSS
        public = private.public_key()
        return (
            lambda data: private.sign(data, form, SHA256()),
            lambda signature, data: public.verify(signature, data, form, SHA256()),
        )
    if alg == "EdDSA" and isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign, private.public_key().verify
    msg = f"key {kid} is not a key for {alg}"
    raise UnusableKey(msg)


def _self_test(kid: str, sign: Signer, verify: Callable[[bytes, bytes], None]) -> None:
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
        r, s = decode_dss_signature(private.sign(data, algorithm))
        s = min(s, _P256_ORDER - s)
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")

    return sign


def _es256_verify(public: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], None]:
    def verify(signature: bytes, data: bytes) -> None:
        r, s = (int.from_bytes(half, "big") for half in (signature[:_P256_BYTES], signature[_P256_BYTES:]))
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))

    return verify


def _public_members(private: PrivateKey) -> dict[str, str]:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        numbers = private.public_key().public_numbers()
        x, y = (_b64(number.to_bytes(_P256_BYTES, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    if isinstance(private, rsa.RSAPrivateKey):
        public = private.public_key().public_numbers()
        return {"kty": "RSA", "n": _b64_number(public.n), "e": _b64_number(public.e)}
    return {"kty": "OKP", "crv": "Ed25519", "x": _b64(private.public_key().public_bytes_raw())}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _b64_number(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _purpose(kid: str) -> str:
    return f"signing-key:{kid}"
