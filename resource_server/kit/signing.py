"""Signs anything: keys of the throw-away issuer, and texts that no honest issuer makes."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SIZE = 32


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


class SigningKey:
    """One private key of the issuer.

    Args:
        alg: ``ES256``, ``RS256``, ``PS256`` or ``EdDSA``.
        bits: of an RSA key.
    """

    def __init__(self, alg: str = "ES256", *, bits: int = 2048) -> None:
        self.alg = alg
        self.private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
        if alg == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, bits)
        members = self._members()
        self.kid = b64(hashlib.sha256(dump(dict(sorted(members.items())))).digest())  # RFC 7638 §3
        self.jwk: dict[str, str] = {**members, "kid": self.kid, "alg": alg, "use": "sig"}

    def _members(self) -> dict[str, str]:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            point = self.private.public_key().public_numbers()
            return {
                "kty": "EC",
                "crv": "P-256",
                "x": b64(point.x.to_bytes(_SIZE, "big")),
                "y": b64(point.y.to_bytes(_SIZE, "big")),
            }
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": b64(numbers.e.to_bytes(3, "big")),
        }

    @property
    def pem(self) -> bytes:
        """The public key as PEM, which confused verifiers take for an HMAC key."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes, alg: str = "") -> bytes:
        """The signature over some bytes; RSA keys can sign as RS256 and PS256."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_SIZE, "big") + min(s, _P256_ORDER - s).to_bytes(_SIZE, "big")
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        sha = hashes.SHA256()
        pad = padding.PSS(padding.MGF1(sha), _SIZE) if (alg or self.alg) == "PS256" else padding.PKCS1v15()
        return self.private.sign(data, pad, sha)

    def jws(self, header: object, claims: object, *, alg: str = "") -> str:
        """Sign a header and claims, given as objects or as raw bytes."""
        pieces = [each if isinstance(each, bytes) else dump(each) for each in (header, claims)]
        text = ".".join(map(b64, pieces))
        return f"{text}.{b64(self.sign(text.encode(), alg))}"


def other_s(signature: bytes) -> bytes:
    """The second valid spelling of an ECDSA signature: (r, n - s)."""
    s = _P256_ORDER - int.from_bytes(signature[_SIZE:], "big")
    return signature[:_SIZE] + s.to_bytes(_SIZE, "big")


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, claims and signature of a compact token, unverified."""
    head, body, sign = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body)), unb64(sign)
