"""The classes of bad signatures and keys that Wycheproof's vectors have, made here.

ECDSA, EdDSA, RSA PKCS #1 v1.5 and RSA-PSS, against everything that verifies what a stranger signed: pasted keys, the
keys in proofs, which are read by the same function, and published key sets.
"""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from keys.import_key import WeakKey
from keys.jws import Jws
from keys.key_sets import UnusableKeySet, key_set
from keys.public_keys import of_jwk, registered
from tests.support.assertions import Signer
from tests.support.wsgi_client import b64

DATA = b"eyJhbGciOiJFUzI1NiJ9.e30"
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256."""
L = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519."""
P25519 = 2**255 - 19
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""The beginning of a DigestInfo for SHA-256 (RFC 8017 §9.2)."""


def by_pasted_key(signer, signature, data=DATA):
    return registered(of_jwk(signer.jwk, signer.alg).jwk).verifies(signature, data)


def by_key_set(signer, signature, data=DATA):
    found = key_set(json.dumps({"keys": [{**signer.jwk, "kid": "k", "alg": signer.alg}]}).encode())
    return found.verifies(Jws({"alg": signer.alg, "kid": "k"}, {}, data, signature))


VERIFIERS = pytest.mark.parametrize("verifies", [by_pasted_key, by_key_set])


@pytest.fixture(scope="module")
def signers():
    return {alg: Signer(alg) for alg in ("ES256", "EdDSA", "RS256", "PS256")}


@VERIFIERS
@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256", "PS256"])
def test_a_signature_of_any_other_shape(signers, verifies, alg):
    signer = signers[alg]
    good = signer.raw(DATA)
    assert verifies(signer, good)
    size = len(good)
    bad = [b"", b"\0", bytes(size), b"\xff" * size, good[:-1], good[1:], good + b"\0", b"\0" + good, good * 2]
    bad += [good[: size // 2], good[size // 2 :] + good[: size // 2], bytes(reversed(good))]
    bad += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, size, max(1, size // 16))]
    assert [each for each in bad if verifies(signer, each)] == []
    assert not verifies(signer, good, DATA + b"x")
    assert not verifies(signer, good, b"")


@VERIFIERS
def test_ecdsa_with_numbers_at_the_borders(signers, verifies):
    """Zero, one, the order and beyond: r or s of 0 with any hash is the bug of CVE-2022-21449."""
    signer = signers["ES256"]
    good = signer.raw(DATA)
    r, s = int.from_bytes(good[:32]), int.from_bytes(good[32:])
    odd = (0, 1, N - 1, N, N + 1, 2**256 - 1, (N + 1) // 2, 2**255)
    pairs = [(a, b) for a in odd for b in odd] + [(r, each) for each in odd] + [(each, s) for each in odd]
    pairs += [(r + N, s) for _ in (1,) if r + N < 2**256] + [(r, s + N) for _ in (1,) if s + N < 2**256]
    assert [each for each in pairs if verifies(signer, each[0].to_bytes(32) + each[1].to_bytes(32))] == []


@VERIFIERS
def test_ecdsa_in_der_or_by_another_hash(signers, verifies):
    signer = signers["ES256"]
    der = signer.private.sign(DATA, ec.ECDSA(hashes.SHA256()))
    assert not verifies(signer, der)
    for kind in (hashes.SHA1(), hashes.SHA384(), hashes.SHA512(), hashes.SHA3_256()):  # noqa: S303 - to be refused
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(signer.private.sign(DATA, ec.ECDSA(kind)))
        assert not verifies(signer, r.to_bytes(32) + s.to_bytes(32))


@pytest.mark.parametrize(
    "changed",
    [
        {"x": b64(bytes(32)), "y": b64(bytes(32))},  # the point at infinity has no coordinates
        {"x": b64((1).to_bytes(32)), "y": b64((1).to_bytes(32))},  # not on the curve
        {"x": b64(b"\xff" * 32)},  # not in the field
        {"x": b64(bytes(31))},
        {"x": b64(bytes(33))},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": "Ed25519"},
        {"kty": "OKP"},
        {"kty": "oct", "k": "AAAA"},
        {"y": None},
        {"x": ""},
    ],
)
def test_ec_keys_that_are_none(signers, changed):
    members = {**signers["ES256"].jwk, **changed}
    with pytest.raises(WeakKey):
        of_jwk(members, "ES256")
    with pytest.raises(UnusableKeySet):
        key_set(json.dumps({"keys": [{**members, "kid": "k"}]}).encode())


@VERIFIERS
def test_eddsa_that_was_made_malleable(signers, verifies):
    """S + L is the same signature to a careless verifier (RFC 8032 §5.1.7 refuses it), and R has one encoding."""
    signer = signers["EdDSA"]
    good = signer.raw(DATA)
    r, s = good[:32], int.from_bytes(good[32:], "little")
    for more in (L, 2 * L, 4 * L, 8 * L):
        if s + more < 2**256:
            assert not verifies(signer, r + (s + more).to_bytes(32, "little"))
    for point in (0, 1, P25519 - 1, P25519, P25519 + 1, 2**255 - 1, 2**256 - 1):
        assert not verifies(signer, point.to_bytes(32, "little") + good[32:])
        assert not verifies(signer, point.to_bytes(32, "little") + bytes(32))


def pkcs1(signer, encoded):
    """A signature whose encoded message is whatever is said: the private operation alone (RFC 8017 §5.2.1)."""
    numbers = signer.private.private_numbers()
    n = numbers.public_numbers.n
    return pow(int.from_bytes(encoded), numbers.d, n).to_bytes(256)


def padded(info, fill=b"\xff", kind=b"\x01", size=256):
    return b"\0" + kind + fill * (size - 3 - len(info)) + b"\0" + info


@VERIFIERS
def test_rsa_with_padding_that_a_careless_parser_takes(signers, verifies):
    """Bleichenbacher's forgery and its relatives: garbage, short padding, other hashes, a DigestInfo in other DER."""
    signer, digest = signers["RS256"], hashlib.sha256(DATA).digest()
    good = SHA256_INFO + digest
    assert verifies(signer, pkcs1(signer, padded(good)))
    without_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest
    long_form = bytes.fromhex("308131300d060960864801650304020105000420") + digest
    bad = {
        "type 2": padded(good, kind=b"\x02"),
        "type 0": padded(good, kind=b"\x00"),
        "zeros": padded(good, fill=b"\0"),
        "one byte is not ff": padded(good).replace(b"\xff", b"\xfe", 1),
        "short padding and garbage": b"\0\x01" + b"\xff" * 8 + b"\0" + good + b"\0" * (256 - 11 - len(good)),
        "garbage behind": b"\0\x01" + b"\xff" * (253 - len(good) - 4) + b"\0" + good + b"abcd",
        "no null": padded(without_null),
        "length in long form": padded(long_form),
        "no DigestInfo": padded(digest),
        "sha1": padded(bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(DATA).digest()),  # noqa: S324
        "sha512 named": padded(bytes.fromhex("3051300d060960864801650304020305000440") + hashlib.sha512(DATA).digest()),
        "sha256 named, sha512 inside": padded(SHA256_INFO + hashlib.sha512(DATA).digest()[:32]),
        "leading byte": b"\x01" + padded(good)[1:],
    }
    taken = [name for name, encoded in bad.items() if verifies(signer, pkcs1(signer, encoded))]
    assert taken == []
    n = signer.private.private_numbers().public_numbers.n
    right = int.from_bytes(pkcs1(signer, padded(good)))
    if right + n < 2**2048:
        assert not verifies(signer, (right + n).to_bytes(256))


@VERIFIERS
def test_pss_with_another_salt_hash_or_mask(signers, verifies):
    """RFC 7518 §3.5: the salt is as long as the hash, and both hashes are SHA-256."""
    signer = signers["PS256"]
    sha = hashes.SHA256()
    for salt in (0, 20, 31, 33, 64, padding.PSS.MAX_LENGTH):
        made = signer.private.sign(DATA, padding.PSS(padding.MGF1(sha), salt), sha)
        assert not verifies(signer, made), salt
    for mask, kind in ((hashes.SHA1(), sha), (sha, hashes.SHA512()), (hashes.SHA512(), sha)):  # noqa: S303
        made = signer.private.sign(DATA, padding.PSS(padding.MGF1(mask), 32), kind)
        assert not verifies(signer, made)
    assert not verifies(signer, signer.private.sign(DATA, padding.PKCS1v15(), sha))
    digest = hashlib.sha256(hashlib.sha256(DATA).digest()).digest()
    pss = padding.PSS(padding.MGF1(sha), 32)
    assert not verifies(signer, signer.private.sign(digest, pss, Prehashed(sha)))


@pytest.mark.parametrize(
    ("e", "bits"), [(1, 2048), (2, 2048), (3, 1024), (65537, 512), (65537, 1024), (65537, 2047), (0, 2048)]
)
def test_rsa_keys_that_are_weak(e, bits):
    modulus = (2**bits - 1942289).to_bytes(-(-bits // 8))
    members = {"kty": "RSA", "n": b64(modulus), "e": b64(e.to_bytes(3).lstrip(b"\0") or b"\0")}
    with pytest.raises(WeakKey):
        of_jwk(members, "RS256")
