"""Make, seal and unseal private signing keys. The only file that holds them.

A private key leaves this file only as a ``Signer`` (INV-17). ES256 signatures
are deterministic (RFC 6979; RFC 8725bis §3.2 SHOULD).
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.master import MasterKey

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
RSA_BITS = 3072
_P256_BYTES = 32

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Signer = Callable[[bytes], bytes]


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
    """
    private = serialization.load_der_private_key(master.open(_purpose(kid), sealed), password=None)
    if alg == "ES256" and isinstance(private, ec.EllipticCurvePrivateKey):
        return _es256(private)
    if alg == "RS256" and isinstance(private, rsa.RSAPrivateKey):
        return lambda data: private.sign(data, padding.PKCS1v15(), SHA256())
    if alg == "PS256" and isinstance(private, rsa.RSAPrivateKey):
        pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        return lambda data: private.sign(data, pss, SHA256())
    if alg == "EdDSA" and isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign
    msg = f"key {kid} is not a key for {alg}"
    raise ValueError(msg)


def thumbprint(members: dict[str, str]) -> str:
    """RFC 7638 SHA-256 thumbprint of the required public members."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _b64(hashlib.sha256(text.encode()).digest())


def _es256(private: ec.EllipticCurvePrivateKey) -> Signer:
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, algorithm))
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")

    return sign


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
