"""Keys of clients, and assertions and proofs that they sign, right or wrong in any way."""

import hashlib
import itertools
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authserver.actions import client_keys
from tests.support.wsgi_client import b64

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA", "ML-DSA-44", "ML-DSA-65")
_numbers = itertools.count()


class Signer:
    """A key pair of a client."""

    def __init__(self, alg="ES256", private=None):
        self.alg = alg
        self.private = private or _MAKE[alg]()

    @property
    def pem(self):
        return (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    @property
    def private_pem(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def jwk(self):
        """The required public members, and nothing else."""
        public = self.private.public_key()
        if self.alg == "ES256":
            numbers = public.public_numbers()
            return {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
        if self.alg in {"RS256", "PS256"}:
            numbers = public.public_numbers()
            return {"kty": "RSA", "e": "AQAB", "n": b64(numbers.n.to_bytes(256))}
        if self.alg == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
        return {"kty": "AKP", "alg": self.alg, "pub": b64(public.public_bytes_raw())}

    @property
    def thumbprint(self):
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return b64(hashlib.sha256(text.encode()).digest())

    def raw(self, data):
        if self.alg == "ES256":
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        if self.alg == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if self.alg == "PS256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            return self.private.sign(data, pss, hashes.SHA256())
        return self.private.sign(data)

    def jws(self, header, claims):
        """Header and claims as objects or as raw bytes."""
        pieces = [piece if isinstance(piece, bytes) else json.dumps(piece).encode() for piece in (header, claims)]
        text = ".".join(b64(piece) for piece in pieces)
        return f"{text}.{b64(self.raw(text.encode()))}"


_MAKE = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
}


def registered(world, client_id, signer):
    """Register the public half; the record."""
    alg = signer.alg if signer.alg in {"RS256", "PS256"} else ""
    return client_keys.add(world.accounts, client_id, signer.pem, alg, **world.who)


def claims(world, client_id, without=(), **changed):
    made = {
        "iss": client_id,
        "sub": client_id,
        "aud": world.services.issuer,
        "iat": world.clock.at,
        "exp": world.clock.at + 60,
        "jti": f"a-{next(_numbers)}",
        **changed,
    }
    return {name: value for name, value in made.items() if name not in without}


def assertion(world, client_id, signer, header=None, without=(), **changed):
    """A good assertion, but for what is changed."""
    return signer.jws({"alg": signer.alg, **(header or {})}, claims(world, client_id, without, **changed))


def form(text, **more):
    return {"client_assertion_type": TYPE, "client_assertion": text, **more}


def token(world, text, **more):
    return world.post("/oauth/token", {"grant_type": "client_credentials", **form(text, **more)})


def proof(world, signer, header=None, without=(), **changed):
    """A good DPoP proof for the token endpoint, but for what is changed."""
    made = {
        "htm": "POST",
        "htu": f"{world.services.issuer}/oauth/token",
        "iat": world.clock.at,
        "jti": f"p-{next(_numbers)}",
        **changed,
    }
    values = {name: value for name, value in made.items() if name not in without}
    return signer.jws({"typ": "dpop+jwt", "alg": signer.alg, "jwk": signer.jwk, **(header or {})}, values)
