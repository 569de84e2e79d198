"""Private keys: made, sealed, opened."""

import json
import warnings

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from keys.master import MasterKey, WrongMasterKey
from keys.material import ALGORITHMS, UnusableKey, make, unseal
from tests.keys.support import CLAIMS, MASTER, P256_N, b64, der_of, sealed_as_ours, unb64


class TestMaterial:
    def test_these_algorithms_and_no_hmac(self):
        assert ALGORITHMS == ("ES256", "RS256", "PS256", "EdDSA")

    @pytest.mark.parametrize("alg", ["HS256", "none", "", "es256", "ES384", "ES256 "])
    def test_no_key_is_made_for_another_algorithm(self, alg):
        with pytest.raises(ValueError, match="choose one of ES256, RS256, PS256, EdDSA, ML-DSA-44, ML-DSA-65"):
            make(alg, MASTER)

    def test_pyjwt_verifies_what_it_signs(self, key):
        read = jwt.decode_complete(
            key.token(), key=jwt.PyJWK(key.jwk), algorithms=[key.new.alg], options={"verify_exp": False}
        )
        assert read["payload"] == CLAIMS
        assert read["header"] == {"typ": "at+jwt", "alg": key.new.alg, "kid": key.kid}

    def test_joserfc_verifies_what_it_signs(self, key):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc warns of the name EdDSA, which RFC 9864 deprecates
            read = joserfc.jwt.decode(key.token(), joserfc.jwk.import_key(key.jwk), algorithms=[key.new.alg])
        assert read.claims == CLAIMS

    def test_a_key_verifies_no_other_text(self, key):
        head, body, signature = key.token().split(".")
        other = b64(json.dumps({**CLAIMS, "roles": ["admin"]}).encode())
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(f"{head}.{other}.{signature}", key=jwt.PyJWK(key.jwk), algorithms=[key.new.alg])
        assert body != other

    def test_es256_and_eddsa_and_rs256_are_deterministic_and_ps256_is_not(self, key):
        assert (key.sign(b"text") == key.sign(b"text")) is (key.new.alg != "PS256")

    @pytest.mark.parametrize(
        ("text", "r", "s"),
        [
            (
                b"sample",
                0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
                P256_N - 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
            ),
            (
                b"test",
                0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
                0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
            ),
        ],
    )
    def test_es256_signs_the_vectors_of_rfc_6979_with_the_lower_s(self, text, r, s):
        """Appendix A.2.5, P-256 with SHA-256; the first has a high s, of which we sign the twin."""
        number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
        kid, sealed = sealed_as_ours(ec.derive_private_key(number, ec.SECP256R1()))
        assert unseal(kid, "ES256", sealed, MASTER)(text) == r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def test_es256_signatures_are_64_bytes_with_low_s_also_with_leading_zeros(self, es256):
        signatures = [es256.sign(str(number).encode()) for number in range(2000)]
        assert {len(signature) for signature in signatures} == {64}
        assert all(int.from_bytes(signature[32:], "big") <= P256_N // 2 for signature in signatures)
        assert any(signature[0] == 0 for signature in signatures)
        assert any(signature[32] == 0 for signature in signatures)

    @pytest.mark.parametrize("alg", ["RS256", "PS256"])
    def test_t_187_rsa_keys_have_3072_bits_and_the_usual_exponent(self, ring, alg):
        assert int.from_bytes(unb64(ring[alg].jwk["n"]), "big").bit_length() == 3072
        assert ring[alg].jwk["e"] == "AQAB"
        assert len(ring[alg].sign(b"text")) == 384

    def test_inv_17_the_private_part_is_sealed_for_its_own_kid(self, ring):
        one, two = ring["ES256"].new, ring["EdDSA"].new
        with pytest.raises(WrongMasterKey):
            unseal(two.kid, one.alg, one.sealed_private, MASTER)
        with pytest.raises(WrongMasterKey):
            unseal(one.kid, one.alg, one.sealed_private, MasterKey(MasterKey.fresh()))

    def test_inv_17_the_private_part_does_not_show(self, es256):
        private = serialization.load_der_private_key(
            MASTER.open(f"signing-key:{es256.kid}", es256.new.sealed_private), password=None
        )
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        number = private.private_numbers().private_value.to_bytes(32, "big")
        assert number not in es256.new.sealed_private
        for spelt in (number.hex(), b64(number)):
            assert spelt not in repr(es256.new)

    @pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA", "HS256", "none"])
    def test_a_key_signs_only_for_its_algorithm(self, key, alg):
        same_kind = {key.new.alg, alg} == {"RS256", "PS256"}
        if alg == key.new.alg or same_kind:
            assert unseal(key.kid, alg, key.new.sealed_private, MASTER)(b"text")
        else:
            with pytest.raises(UnusableKey, match=f"not a key for {alg}"):
                unseal(key.kid, alg, key.new.sealed_private, MASTER)

    def test_t_143_a_private_part_that_belongs_to_another_public_one_is_refused(self, es256):
        stranger = der_of(ec.generate_private_key(ec.SECP256R1()))
        sealed = MASTER.seal(f"signing-key:{es256.kid}", stranger)
        with pytest.raises(UnusableKey, match="belongs to another key"):
            unseal(es256.kid, "ES256", sealed, MASTER)

    def test_t_143_a_file_whose_halves_do_not_match_is_refused(self):
        one, two = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        form = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        points = [private.public_key().public_bytes(*form) for private in (one, two)]
        mixed = der_of(one).replace(points[0], points[1])
        assert mixed != der_of(one)
        for claimed in (one, two):
            kid, sealed = sealed_as_ours(claimed, mixed)
            with pytest.raises(UnusableKey):
                unseal(kid, "ES256", sealed, MASTER)

    def test_t_143_a_key_that_does_not_verify_what_it_signs_is_refused(self, es256, monkeypatch):
        """A broken machine: the signature comes out wrong."""
        from keys import material

        monkeypatch.setattr(material, "_es256", lambda private: lambda data: bytes(31) + b"\1" + bytes(31) + b"\1")
        with pytest.raises(UnusableKey, match="does not verify what it signs"):
            unseal(es256.kid, "ES256", es256.new.sealed_private, MASTER)

    @pytest.mark.parametrize(
        "der",
        [
            b"",
            b"0",
            b"\x30\x82\xff\xff",
            b"-----BEGIN PRIVATE KEY-----",
            der_of(ec.generate_private_key(ec.SECP256R1()))[:-1],
            der_of(ec.generate_private_key(ec.SECP384R1())),
            der_of(ec.generate_private_key(ec.SECP256K1())),
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            ),
            ed25519.Ed25519PrivateKey.generate().private_bytes_raw(),
        ],
        ids=["empty", "zero", "torn", "PEM", "cut", "P-384", "secp256k1", "encrypted", "raw"],
    )
    def test_what_is_no_key_of_ours_is_refused(self, es256, der):
        sealed = MASTER.seal(f"signing-key:{es256.kid}", der)
        with pytest.raises(UnusableKey):
            unseal(es256.kid, "ES256", sealed, MASTER)
