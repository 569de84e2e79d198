"""Keys made elsewhere: good ones come in, every weak or broken one is refused by name."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from joserfc.jwk import ECKey, OKPKey, RSAKey

from keys.import_key import WeakKey, read


def pem(private, password=None):
    kind = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind)


def b64(number, length):
    return base64.urlsafe_b64encode(number.to_bytes(length, "big")).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 3072)


@pytest.fixture(scope="module")
def rsa_jwk(rsa_key):
    return RSAKey.import_key(pem(rsa_key)).as_dict(private=True)


@pytest.fixture(scope="module")
def ec_jwk():
    return ECKey.generate_key("P-256").as_dict(private=True)


def text(jwk, **changed):
    merged = {name: value for name, value in {**jwk, **changed}.items() if value is not None}
    return json.dumps(merged).encode()


def test_good_keys_come_in(rsa_key, rsa_jwk, ec_jwk):
    assert read(pem(rsa_key), "RS256").public_key() == rsa_key.public_key()
    assert read(text(rsa_jwk), "PS256").public_key() == rsa_key.public_key()
    traditional = rsa_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert read(traditional, "RS256").public_key() == rsa_key.public_key()
    private = ec.generate_private_key(ec.SECP256R1())
    assert read(pem(private, b"pass word"), "ES256", b"pass word").public_key() == private.public_key()
    assert read(text(ec_jwk), "ES256").key_size == 256
    okp = OKPKey.generate_key("Ed25519").as_dict(private=True)
    assert isinstance(read(text(okp), "EdDSA"), ed25519.Ed25519PrivateKey)


def test_T_187_an_old_rsa_key_comes_in_on_purpose_only():
    old = pem(rsa.generate_private_key(65537, 2048))
    with pytest.raises(WeakKey, match="3072 to 8192 bits, this one has 2048"):
        read(old, "RS256")
    assert read(old, "RS256", least_rsa_bits=2048).key_size == 2048
    with pytest.raises(WeakKey, match="2048 to 8192"):
        read(pem(rsa.generate_private_key(65537, 1024)), "RS256", least_rsa_bits=512)  # noqa: S505 - refused


def test_T_017_small_exponents_are_refused():
    with pytest.raises(WeakKey, match="exponent is 3"):
        read(pem(rsa.generate_private_key(3, 3072)), "RS256")


def test_even_exponents_are_refused(rsa_jwk):
    with pytest.raises(WeakKey):
        read(text(rsa_jwk, e=b64(65538, 3)), "RS256")
    with pytest.raises(WeakKey):
        read(text(rsa_jwk, e=b64(1, 1)), "RS256")


def test_T_017_roca_is_refused():
    from keys.import_key import _is_roca

    # Published test vector of the vulnerability: a 512-bit modulus made by the affected library.
    bad = int(
        "944e13208a280c37efc31c3114485e590192adbb8e11c87cad60cdef0037ce99"
        "278330d3f471a2538fa667802ed2a3c44a8b7dea826e888d0aa341fd664f7fa7",
        16,
    )
    assert _is_roca(bad)
    assert not _is_roca(rsa.generate_private_key(65537, 2048).public_key().public_numbers().n)


def test_T_143_halves_that_do_not_belong_together_are_refused(rsa_jwk, ec_jwk):
    other = ECKey.generate_key("P-256").as_dict(private=True)
    with pytest.raises(WeakKey, match="does not belong"):
        read(text(ec_jwk, d=other["d"]), "ES256")
    with pytest.raises(WeakKey, match=r"does not belong|malformed"):
        read(text(ec_jwk, x=other["x"], y=other["y"]), "ES256")
    okp, another = (OKPKey.generate_key("Ed25519").as_dict(private=True) for _ in range(2))
    with pytest.raises(WeakKey, match="does not belong"):
        read(text(okp, x=another["x"]), "EdDSA")
    second = RSAKey.generate_key(3072).as_dict(private=True)
    with pytest.raises(WeakKey, match="belong together"):
        read(text(rsa_jwk, n=second["n"]), "RS256")
    with pytest.raises(WeakKey, match="belong together"):
        read(text(rsa_jwk, d=second["d"]), "RS256")


def test_a_point_off_the_curve_is_refused(ec_jwk):
    x = int.from_bytes(base64.urlsafe_b64decode(ec_jwk["x"] + "=="), "big") ^ 1
    with pytest.raises(WeakKey, match="not on the curve"):
        read(text(ec_jwk, x=b64(x, 32)), "ES256")


@pytest.mark.parametrize(
    ("private", "alg"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ES256"),
        (ec.generate_private_key(ec.SECP256K1()), "ES256"),
        (ec.generate_private_key(ec.SECP256R1()), "RS256"),
        (ed25519.Ed25519PrivateKey.generate(), "ES256"),
        (x25519.X25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["P-384", "secp256k1", "EC for RS256", "Ed25519 for ES256", "X25519"],
)
def test_keys_of_another_kind_are_refused(private, alg):
    with pytest.raises(WeakKey):
        read(pem(private), alg)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{}", b"[]", b"\xff\xfe", b'{"kty":"oct","k":"AAAA"}', b'{"keys":[]}', b"-----BEGIN PRIVATE KEY-----"],
)
def test_nonsense_is_refused(data):
    with pytest.raises(WeakKey):
        read(data, "ES256")


def test_public_keys_and_sets_are_refused(ec_jwk):
    with pytest.raises(WeakKey, match="lacks"):
        read(text(ec_jwk, d=None), "ES256")
    with pytest.raises(WeakKey, match="not a set"):
        read(json.dumps({"keys": [ec_jwk]}).encode(), "ES256")
    with pytest.raises(WeakKey, match="not meant"):
        read(text(ec_jwk, use="enc"), "ES256")
    with pytest.raises(WeakKey, match="not meant"):
        read(text(ec_jwk, alg="ES384"), "ES256")


def test_passwords_must_fit(rsa_key):
    with pytest.raises(WeakKey, match="give its password"):
        read(pem(rsa_key, b"secret"), "RS256")
    with pytest.raises(WeakKey, match="give no password"):
        read(pem(rsa_key), "RS256", b"secret")
    with pytest.raises(WeakKey):
        read(pem(rsa_key, b"secret"), "RS256", b"wrong")


def test_other_algorithms_are_refused(ec_jwk):
    for alg in ("HS256", "none", "ES512", "ML-DSA-44"):
        with pytest.raises(WeakKey, match="cannot be imported"):
            read(text(ec_jwk), alg)
