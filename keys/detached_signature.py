"""Reads a P-256 public key, and verifies an ECDSA signature that came beside what it signs, in DER and base64."""

import base64
import binascii
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keys.import_key import WeakKey

_MOST_TEXT: Final = 4096
_MOST_SIGNATURE: Final = 200


def read_p256(text: str) -> str:
    """A public key of P-256 in PEM, in its one spelling.

    Raises:
        WeakKey: it is no such key.
    """
    try:
        key = serialization.load_pem_public_key(text.strip()[:_MOST_TEXT].encode("ascii"))
    except (ValueError, UnicodeEncodeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        msg = "give a public key of the curve P-256, as PEM that begins with -----BEGIN PUBLIC KEY-----"
        raise WeakKey(msg)
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode("ascii")


@lru_cache(maxsize=64)
def _loaded(pem: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_pem_public_key(pem.encode("ascii"))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        msg = "a key is of the curve P-256"
        raise WeakKey(msg)
    return key


def verified(pem: str, signature: str, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` was made by the private half of ``pem`` (ECDSA, SHA-256)."""
    if len(signature) > _MOST_SIGNATURE:
        return False
    try:
        _loaded(pem).verify(base64.b64decode(signature, validate=True), data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
