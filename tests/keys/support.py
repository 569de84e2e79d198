"""Keys and texts of these tests."""

import base64
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings

from keys.master import MasterKey
from keys.material import NewKey, Signer, make, thumbprint, unseal
from keys.signing import TokenReader, TokenSigner

patient = settings(deadline=None)
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MASTER = MasterKey("A" * 43)
CLAIMS = {
    "iss": "https://auth.example.com",
    "sub": "usr_ada",
    "roles": ["reader"],
    "exp": 1_800_003_600,
    "jti": "Zk3vQ9wLm2Xr8TnB5yHc1DfJ",
}


@dataclass(frozen=True)
class Key:
    new: NewKey
    sign: Signer

    @property
    def jwk(self):
        return json.loads(self.new.public_jwk)

    @property
    def kid(self):
        return self.new.kid

    @property
    def header(self):
        return {"typ": "at+jwt", "alg": self.new.alg, "kid": self.kid}

    def token(self, claims=None, typ="at+jwt"):
        return TokenSigner(self.kid, self.new.alg, self.sign).sign(CLAIMS if claims is None else claims, typ)

    def forge(self, header=None, payload=None):
        """A token with any header and payload, and a signature that fits."""
        signed = b64(as_bytes(self.header if header is None else header)) + "."
        signed += b64(as_bytes(CLAIMS if payload is None else payload))
        return signed + "." + b64(self.sign(signed.encode()))

    def reader(self):
        return TokenReader({self.kid: self.jwk})


def as_bytes(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key(alg):
    new = make(alg, MASTER)
    return Key(new, unseal(new.kid, alg, new.sealed_private, MASTER))


def der_of(private):
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_of(private):
    if isinstance(private, ec.EllipticCurvePrivateKey):
        point = private.public_key().public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(private.public_key().public_bytes_raw())}


def sealed_as_ours(private, der=None):
    """Seal a key that somebody else made, in the form the storage keeps."""
    kid = thumbprint(public_of(private))
    return kid, MASTER.seal(f"signing-key:{kid}", der or der_of(private))


NOT_TEXT = [None, True, 0, 1.5, [], {}, "", "x", ["ES256"], {"a": 1}]
