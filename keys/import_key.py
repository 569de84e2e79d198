"""Takes in a key that was made elsewhere, and refuses every weak or broken one (RFC 7517, RFC 8725bis §3.5).

A private key is proven whole before it is used: its public half must be its
own, its numbers must fit together, and the way it was made must not be one of
the known bad ones.
"""

import base64
import json
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MOST_RSA_BITS = 8192
LEAST_RSA_BITS = 3072
"""Required by default; ``FLOOR_RSA_BITS`` only when an old key must be carried over on purpose."""
FLOOR_RSA_BITS = 2048
LEAST_EXPONENT = 65537
_MOST_EXPONENT_BITS = 32
"""A longer one only costs whoever verifies."""

Importable = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_FITTING: Mapping[str, type[Importable]] = {
    "ES256": ec.EllipticCurvePrivateKey,
    "RS256": rsa.RSAPrivateKey,
    "PS256": rsa.RSAPrivateKey,
    "EdDSA": ed25519.Ed25519PrivateKey,
}
_PRIMES = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip


class WeakKey(ValueError):
    """The key must not be used; the text says why and what to bring instead."""


def read(data: bytes, alg: str, password: bytes | None = None, *, least_rsa_bits: int = LEAST_RSA_BITS) -> Importable:
    """Read a private key from PEM (PKCS #8 or traditional) or from one JWK, for one algorithm.

    Args:
        data: the file as it is.
        alg: what the key will sign with.
        password: opens an encrypted PEM.
        least_rsa_bits: how small an RSA key may be; never below ``FLOOR_RSA_BITS``.

    Raises:
        WeakKey: unreadable, unfit for ``alg``, inconsistent or weak.
    """
    if alg not in _FITTING:
        msg = f"keys for {alg} cannot be imported; choose one of {', '.join(_FITTING)}"
        raise WeakKey(msg)
    private = _from_jwk(data, alg) if data.lstrip()[:1] == b"{" else _from_pem(data, password)
    if not isinstance(private, _FITTING[alg]):
        msg = f"this is no key for {alg}"
        raise WeakKey(msg)
    if isinstance(private, rsa.RSAPrivateKey):
        _check_rsa(private, max(least_rsa_bits, FLOOR_RSA_BITS))
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name != "secp256r1":
        msg = f"ES256 needs a key on P-256, this one is on {private.curve.name}"
        raise WeakKey(msg)
    return private


def _from_pem(data: bytes, password: bytes | None) -> Importable:
    try:
        private = serialization.load_pem_private_key(data, password)
    except TypeError as error:
        msg = (
            "the PEM is encrypted: give its password"
            if password is None
            else "the PEM is not encrypted: give no password"
        )
        raise WeakKey(msg) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        msg = "no private key can be read from the PEM, or its numbers do not fit together"
        raise WeakKey(msg) from error
    if not isinstance(private, Importable):
        msg = f"a key of this type ({type(private).__name__}) cannot be used"
        raise WeakKey(msg)
    return private


def _from_jwk(data: bytes, alg: str) -> Importable:
    try:
        return _parts(json.loads(data), alg)
    except KeyError as error:
        msg = f"the JWK lacks the private member or has an unknown type: {error.args[0]}"
        raise WeakKey(msg) from error
    except WeakKey:
        raise
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        msg = "the JWK is malformed, its point is not on the curve, or its halves do not belong together"
        raise WeakKey(msg) from error


def _parts(jwk: Mapping[str, str], alg: str) -> Importable:
    if "keys" in jwk:
        msg = "give one JWK, not a set"
        raise WeakKey(msg)
    if jwk.get("alg", alg) != alg or jwk.get("use", "sig") != "sig":
        msg = f"the JWK is not meant for signing with {alg}"
        raise WeakKey(msg)
    return _KINDS[str(jwk["kty"])](jwk)


def _ec(jwk: Mapping[str, str]) -> Importable:
    if jwk["crv"] != "P-256":
        msg = f"ES256 needs a key on P-256, this one is on {jwk['crv']}"
        raise WeakKey(msg)
    public = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1())
    public.public_key()
    private = ec.derive_private_key(_number(jwk["d"]), ec.SECP256R1())
    return _matched(private, private.public_key().public_numbers() == public)


def _rsa(jwk: Mapping[str, str]) -> Importable:
    public = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
    names = ("p", "q", "d", "dp", "dq", "qi")
    p, q, d, dp, dq, qi = (_number(jwk[name]) for name in names)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


def _okp(jwk: Mapping[str, str]) -> Importable:
    if jwk["crv"] != "Ed25519":
        msg = f"EdDSA needs a key on Ed25519, this one is on {jwk['crv']}"
        raise WeakKey(msg)
    private = ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(jwk["d"]))
    return _matched(private, private.public_key().public_bytes_raw() == _bytes(jwk["x"]))


_KINDS = {"EC": _ec, "RSA": _rsa, "OKP": _okp}


def _check_rsa(private: rsa.RSAPrivateKey, min_bits: int) -> None:
    check_public_rsa(private.public_key(), min_bits)


def check_public_rsa(public: rsa.RSAPublicKey, min_bits: int) -> None:
    """Refuse an RSA key that is too short or too long, has a bad exponent, or was made by a bad library.

    Raises:
        WeakKey: it is so.
    """
    numbers = public.public_numbers()
    if not min_bits <= public.key_size <= MOST_RSA_BITS:
        msg = f"an RSA key has {min_bits} to {MOST_RSA_BITS} bits, this one has {public.key_size}"
        raise WeakKey(msg)
    if numbers.e < LEAST_EXPONENT or numbers.e % 2 == 0:
        msg = f"the public exponent is {numbers.e}; it must be odd and at least {LEAST_EXPONENT}"
        raise WeakKey(msg)
    if numbers.e.bit_length() > _MOST_EXPONENT_BITS:
        msg = f"the public exponent may have {_MOST_EXPONENT_BITS} bits at most; use {LEAST_EXPONENT}"
        raise WeakKey(msg)
    if _is_roca(numbers.n):
        msg = "the key was made by a library whose keys can be factored (ROCA, CVE-2017-15361)"
        raise WeakKey(msg)


def _is_roca(modulus: int) -> bool:
    """The fingerprint of ROCA: the modulus is a power of 65537 modulo every small prime."""
    return all(modulus % prime in {pow(LEAST_EXPONENT, power, prime) for power in range(prime)} for prime in _PRIMES)


def _matched(private: Importable, fits: bool) -> Importable:  # noqa: FBT001 - the outcome of one comparison
    if not fits:
        msg = "the public half does not belong to the private half"
        raise WeakKey(msg)
    return private


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
