"""The strong-room: key states, the JWKS, what the master key seals, and the one spelling a token has."""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.keyring import PUBLISHED, USABLE, IllegalMove, KeyInfo, State, check_move, jwks
from keys.master import MasterKey, WrongMasterKey
from keys.material import ALGORITHMS, NewKey, Signer, UnusableKey, make, thumbprint, unseal
from keys.signing import TokenReader, TokenSigner
from tests.support.deadlines import join

patient = settings(deadline=None)

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_L = 2**252 + 27742317777372353535851937790883648493

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


@pytest.fixture(scope="module")
def ring():
    """One key for each algorithm; made once, because RSA takes its time."""
    return {alg: new_key(alg) for alg in ("ES256", "RS256", "PS256", "EdDSA")}


@pytest.fixture(params=["ES256", "RS256", "PS256", "EdDSA"])
def key(request, ring):
    return ring[request.param]


@pytest.fixture
def es256(ring):
    return ring["ES256"]


# --- states and moves ---------------------------------------------------------------

LEGAL = {
    ("staged", "active"),
    ("staged", "compromised"),
    ("active", "retired"),
    ("active", "compromised"),
    ("retired", "removed"),
    ("retired", "compromised"),
    ("removed", "compromised"),
}
STATES = ("staged", "active", "retired", "removed", "compromised")


def info(kid="k1", state="active", at=0, jwk=None, alg="ES256"):
    return KeyInfo(kid, alg, State(state), json.dumps(jwk or {"kty": "EC", "kid": kid}), at)


class TestKeyring:
    def test_a_key_has_one_of_five_states(self):
        assert tuple(State) == STATES

    @pytest.mark.parametrize("origin", STATES)
    @pytest.mark.parametrize("target", STATES)
    def test_a_key_moves_only_as_drawn(self, origin, target):
        if (origin, target) in LEGAL:
            check_move(info(state=origin), State(target))
        else:
            with pytest.raises(IllegalMove, match=f"key k1 is {origin}"):
                check_move(info(state=origin), State(target))

    def test_a_refused_move_names_the_states_it_can_be_done_from(self):
        with pytest.raises(IllegalMove, match="only a key that is active, removed, retired, staged can become comp"):
            check_move(info(state="compromised"), State.COMPROMISED)
        with pytest.raises(IllegalMove, match="only a key that is active can become retired"):
            check_move(info(state="staged"), State.RETIRED)

    def test_nothing_leads_back_to_staged_and_nothing_out_of_compromised(self):
        assert not {move for move in LEGAL if move[1] == "staged" or move[0] == "compromised"}
        for origin in STATES:
            with pytest.raises(IllegalMove):
                check_move(info(state=origin), State.STAGED)

    def test_published_are_staged_active_and_retired_keys(self):
        assert {"staged", "active", "retired"} == PUBLISHED

    def test_v_15_only_active_and_retired_keys_can_have_signed_a_live_token(self):
        assert {"active", "retired"} == USABLE


class TestJwks:
    @pytest.mark.parametrize(
        ("state", "shown"),
        [("staged", True), ("active", True), ("retired", True), ("removed", False), ("compromised", False)],
    )
    def test_inv_15_a_key_is_shown_while_it_may_be_trusted(self, state, shown):
        assert bool(json.loads(jwks([info(state=state)]))["keys"]) is shown

    def test_without_keys_it_is_an_empty_set(self):
        assert jwks([]) == b'{"keys":[]}'

    def test_keys_stand_in_their_age_and_then_their_name(self):
        shown = json.loads(jwks([info("c", at=2), info("b", at=1), info("d", at=1), info("a", at=3)]))
        assert [each["kid"] for each in shown["keys"]] == ["b", "d", "c", "a"]

    def test_k_02_no_private_member_is_shown_whatever_the_storage_holds(self, key):
        spoilt = {**key.jwk, "d": "x", "p": "x", "q": "x", "dp": "x", "dq": "x", "qi": "x", "oth": [], "k": "x"}
        spoilt["priv"] = spoilt["note"] = "x"
        assert json.loads(jwks([info(key.kid, jwk=spoilt)])) == {"keys": [key.jwk]}

    def test_k_02_a_new_key_shows_these_members_only(self, ring):
        assert {alg: set(key.jwk) for alg, key in ring.items()} == {
            "ES256": {"kty", "crv", "x", "y", "kid", "alg", "use"},
            "RS256": {"kty", "n", "e", "kid", "alg", "use"},
            "PS256": {"kty", "n", "e", "kid", "alg", "use"},
            "EdDSA": {"kty", "crv", "x", "kid", "alg", "use"},
        }

    def test_k_03_the_kid_is_the_rfc_7638_thumbprint(self, key):
        required = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
        pairs = ",".join(f'"{name}":"{key.jwk[name]}"' for name in required[key.jwk["kty"]])
        assert key.kid == key.jwk["kid"] == b64(hashlib.sha256(f"{{{pairs}}}".encode()).digest())
        assert joserfc.jwk.import_key(key.jwk).thumbprint() == key.kid

    def test_k_03_thumbprints_of_the_standards(self):
        # RFC 7638 §3.1
        n = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
            "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
            "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
            "kEgU8awapJzKnqDKgw"
        )
        members = {"kty": "RSA", "n": n, "e": "AQAB"}
        assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        # RFC 8037 appendix A.3
        members = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        assert thumbprint(members) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    def test_k_04_every_key_has_its_alg_and_use(self, ring):
        for alg, key in ring.items():
            assert (key.jwk["alg"], key.jwk["use"]) == (alg, "sig")

    def test_k_08_coordinates_keep_their_leading_zeros(self):
        """Of 600 small numbers as private keys, some have an x or y that begins with a zero byte."""
        short = 0
        for number in range(1, 600):
            private = ec.derive_private_key(number, ec.SECP256R1())
            point = private.public_key().public_numbers()
            if min(point.x, point.y) >= 2**248:
                continue
            short += 1
            kid, sealed = sealed_as_ours(private)
            assert unseal(kid, "ES256", sealed, MASTER)(b"x")
        assert short >= 2

    def test_inv_12_no_two_keys_share_a_kid(self):
        assert len({make("ES256", MASTER).kid for _ in range(50)}) == 50


# --- the master key -----------------------------------------------------------------


class TestMasterKey:
    @pytest.mark.parametrize(
        "text",
        [
            "-_" * 21 + "8",
            "+/" * 21 + "8",
            "+/" * 21 + "8=",
            "-_" * 21 + "8=",
            "  " + "-_" * 21 + "8=\n",
            "+_" * 10 + "-/" * 11 + "8",
        ],
    )
    def test_it_is_32_bytes_in_either_base64(self, text):
        sealed = MasterKey("-_" * 21 + "8").seal("purpose", b"value")
        assert MasterKey(text).open("purpose", sealed) == b"value"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "=",
            "A" * 42,
            "A" * 44,
            "A" * 43 + "==",
            "A" * 42 + "=",
            "A" * 42 + "==",
            "A" * 42 + "B",
            "A" * 42 + "!",
            "A" * 43 + "!",
            "!" + "A" * 43,
            "A" * 20 + " " + "A" * 23,
            "A" * 20 + "\n" + "A" * 23,
            "Ä" * 43,
            "\uff21" * 43,
            "\ud800" * 43,
            "00" * 32,
            "change me",
            "A" * 10_000,
        ],
    )
    def test_anything_else_is_refused_in_a_sentence_without_it(self, text):
        with pytest.raises(WrongMasterKey, match="32 bytes in base64") as refused:
            MasterKey(text)
        assert len(text) < 3 or text not in str(refused.value)

    def test_a_fresh_one_is_another_each_time_and_works(self):
        fresh = {MasterKey.fresh() for _ in range(100)}
        assert len(fresh) == 100
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", text) and MasterKey(text) for text in fresh)

    def test_it_cannot_be_printed(self):
        text = MasterKey.fresh()
        shown = f"{MasterKey(text)} {MasterKey(text)!r} {[MasterKey(text)]}"
        assert shown == "MasterKey(***) MasterKey(***) [MasterKey(***)]"

    @patient
    @given(plain=st.binary(max_size=200), purpose=st.text(max_size=20), other=st.text(max_size=20))
    def test_what_is_sealed_for_one_purpose_opens_for_it_alone(self, plain, purpose, other):
        sealed = MASTER.seal(purpose, plain)
        assert MASTER.open(purpose, sealed) == plain
        if other != purpose:
            with pytest.raises(WrongMasterKey):
                MASTER.open(other, sealed)

    @patient
    @given(plain=st.binary(max_size=50), place=st.integers(0), bit=st.integers(0, 7))
    def test_one_altered_bit_anywhere_is_noticed(self, plain, place, bit):
        sealed = bytearray(MASTER.seal("p", plain))
        sealed[place % len(sealed)] ^= 1 << bit
        with pytest.raises(WrongMasterKey):
            MASTER.open("p", bytes(sealed))

    def test_every_truncation_and_extension_is_noticed(self):
        sealed = MASTER.seal("p", b"value")
        for spoilt in [sealed[:size] for size in range(len(sealed))] + [sealed + b"\0", b"\1" + sealed]:
            with pytest.raises(WrongMasterKey):
                MASTER.open("p", spoilt)

    def test_another_master_key_opens_nothing(self):
        with pytest.raises(WrongMasterKey, match="use the key it was made with"):
            MasterKey(MasterKey.fresh()).open("p", MASTER.seal("p", b"value"))

    def test_the_same_value_is_sealed_differently_each_time(self):
        assert len({MASTER.seal("p", b"value") for _ in range(100)}) == 100

    def test_nothing_of_the_value_shows(self):
        assert b"value" not in MASTER.seal("p", b"value" * 20)


# --- private keys -------------------------------------------------------------------


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


# --- the text of a token ------------------------------------------------------------


class TestTokenSigner:
    def test_a_token_is_three_parts_and_says_what_it_is(self, key):
        head, body, signature = key.token().split(".")
        assert json.loads(unb64(head)) == {"typ": "at+jwt", "alg": key.new.alg, "kid": key.kid}
        assert json.loads(unb64(body)) == CLAIMS
        assert "=" not in head + body + signature

    def test_each_type_has_its_own_header(self, es256):
        signer = TokenSigner(es256.kid, "ES256", es256.sign)
        for typ in ("at+jwt", "token-introspection+jwt", "at+jwt"):
            assert json.loads(unb64(signer.sign(CLAIMS, typ).split(".")[0]))["typ"] == typ

    def test_a_signature_is_made_once(self, es256):
        signed = []

        def sign(data):
            signed.append(data)
            return es256.sign(data)

        text = TokenSigner(es256.kid, "ES256", sign).sign(CLAIMS)
        assert signed == [text.rpartition(".")[0].encode()]

    @pytest.mark.parametrize(
        "claims", [{"x": "\ud800"}, {"\udfff": 1}, {"x": {1}}, {1: "x"}, {"x": 2**64}, {"x": b"y"}]
    )
    def test_what_is_no_json_is_not_signed(self, es256, claims):
        with pytest.raises(TypeError):
            es256.token(claims)

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_in_json_is_signed_as_none(self, es256, number):
        assert es256.reader().read(es256.token({"x": number})) == (es256.kid, {"x": None})

    def test_text_beyond_ascii_is_read_back(self, es256):
        claims = {"name": "Ää\u2028🤖", "\n": "\x00"}
        assert es256.reader().read(es256.token(claims)) == (es256.kid, claims)


NOT_TEXT = [None, True, 0, 1.5, [], {}, "", "x", ["ES256"], {"a": 1}]


def with_header(**members):
    return lambda key: key.forge({**key.header, **members})


def spoilt_json(where, spoil):
    def bad(key):
        header, payload = as_bytes(key.header), as_bytes(CLAIMS)
        return key.forge(spoil(header), payload) if where == "header" else key.forge(header, spoil(payload))

    return bad


ALIEN = ["es256", "ES256 ", " ES256", "ES256\0", "ES256K", "ES384", "ES512", "PS256", "RS256", "EdDSA", "HS256", "None"]

# Each row makes a bad text from our own key, and mostly with a signature that fits.
FORGED: dict[str, Callable[[Key], str]] = {
    # V-01: the type
    "typ missing": lambda k: k.forge({"alg": "ES256", "kid": k.kid}),
    "typ JWT": lambda k: k.forge({**k.header, "typ": "JWT"}),
    "typ id_token": lambda k: k.forge({**k.header, "typ": "id_token"}),
    "typ secevent+jwt": lambda k: k.forge({**k.header, "typ": "secevent+jwt"}),
    "typ statuslist+jwt": lambda k: k.forge({**k.header, "typ": "statuslist+jwt"}),
    "typ of an introspection answer": lambda k: k.token(typ="token-introspection+jwt"),
    "typ in capitals": lambda k: k.forge({**k.header, "typ": "AT+JWT"}),
    "typ with application/": lambda k: k.forge({**k.header, "typ": "application/at+jwt"}),
    # T-013: the algorithm is the key's, whatever the header says
    **{f"alg {alg!r}": with_header(alg=alg) for alg in ALIEN},
    "alg missing": lambda k: k.forge({"typ": "at+jwt", "kid": k.kid}),
    # T-009: any JSON type in any member
    **{f"{name} is {value!r}": with_header(**{name: value}) for name in ("typ", "alg", "kid") for value in NOT_TEXT},
    # V-05: the key's name
    "kid missing": lambda k: k.forge({"typ": "at+jwt", "alg": "ES256"}),
    **{
        f"kid {kid!r}": with_header(kid=kid)
        for kid in ["' OR 1=1 --", "*)(uid=*", "../../dev/null", "/dev/null", "|id", "\0", "x" * 4000, "__class__"]
    },
    "kid with a blank behind": lambda k: k.forge({**k.header, "kid": k.kid + " "}),
    "kid in another case": lambda k: k.forge({**k.header, "kid": k.kid.swapcase()}),
    # T-007, V-06, T-011, V-07, V-08, T-019: no header member but ours
    **{
        f"header with {name}": with_header(**{name: value})
        for name, value in {
            "jku": "http://127.0.0.1:9/jwks.json",
            "x5u": "http://127.0.0.1:9/cert.pem",
            "x5c": ["MIIB"],
            "x5t": "x",
            "cty": "JWT",
            "crit": ["exp"],
            "zip": "DEF",
            "b64": True,
            "url": "x",
            "": "",
        }.items()
    },
    "its own public jwk in the header": lambda k: k.forge({**k.header, "jwk": k.jwk}),
    "crit empty": lambda k: k.forge({**k.header, "crit": []}),
    "crit names alg": lambda k: k.forge({**k.header, "crit": ["alg"]}),
    "b64 false": lambda k: k.forge({**k.header, "b64": False}),
    "b64 false and critical": lambda k: k.forge({**k.header, "b64": False, "crit": ["b64"]}),
    # T-021: what is no compact JWS
    "empty": lambda k: "",
    "dots": lambda k: "..",
    "one part": lambda k: k.token().split(".")[0],
    "two parts": lambda k: k.token().rpartition(".")[0],
    "four parts": lambda k: k.token() + ".AAAA",
    "five parts": lambda k: k.token() + ".AAAA.AAAA",
    "empty header": lambda k: "." + k.token().partition(".")[2],
    "empty payload": lambda k: re.sub(r"\..*\.", "..", k.token()),
    "detached payload": lambda k: k.token().split(".")[0] + ".." + b64(k.sign(b"x.")),
    "JSON, flattened": lambda k: json.dumps(
        dict(zip(("protected", "payload", "signature"), k.token().split("."), strict=True))
    ),
    "JSON, general": lambda k: json.dumps(
        {"payload": k.token().split(".")[1], "signatures": [{"protected": "", "signature": ""}]}
    ),
    "a token in a token": lambda k: k.forge(payload=json.dumps(k.token()).encode()),
    "a bare token in a token": lambda k: k.forge(payload=k.token().encode()),
    "a JWE": lambda k: ".".join([b64(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), "", "AAAA", "AAAA", "AAAA"]),
    # T-015, V-16: every other spelling of a good token
    "blank before": lambda k: " " + k.token(),
    "blank behind": lambda k: k.token() + " ",
    "line end behind": lambda k: k.token() + "\n",
    "CRLF behind": lambda k: k.token() + "\r\n",
    "NUL behind": lambda k: k.token() + "\0",
    "BOM before": lambda k: "\ufeff" + k.token(),
    "padding behind": lambda k: k.token() + "=",
    "padding behind, twice": lambda k: k.token() + "==",
    "padding in the middle": lambda k: k.token().replace(".", "=.", 1),
    "junk behind": lambda k: k.token() + "!!!!",
    "letters behind": lambda k: k.token() + "AAAA",
    "line end in the signature": lambda k: k.token()[:-10] + "\n" + k.token()[-10:],
    "the other alphabet": lambda k: other_alphabet(k, "+/"),
    "unused bits set": lambda k: k.token()[:-1] + flip_unused_bits(k.token()[-1]),
    "Bearer before": lambda k: "Bearer " + k.token(),
    "full-width dot": lambda k: k.token().replace(".", "\uff0e"),
    "full-width letter": lambda k: k.token()[:-1] + "\uff21",
    "lone surrogate": lambda k: k.token() + "\ud800",
    "signature (r, n - s)": lambda k: with_signature(k, lambda r, s: joined(r, P256_N - s)),
    "signature (n - r, s)": lambda k: with_signature(k, lambda r, s: joined(P256_N - r, s)),
    "signature (r, s + n)": lambda k: with_signature(
        k, lambda r, s: r.to_bytes(33, "big") + (s + P256_N).to_bytes(33, "big")
    ),
    "signature (0, 0)": lambda k: with_signature(k, lambda r, s: bytes(64)),
    "signature (r, 0)": lambda k: with_signature(k, lambda r, s: joined(r, 0)),
    "signature (0, s)": lambda k: with_signature(k, lambda r, s: joined(0, s)),
    "signature (n, s)": lambda k: with_signature(k, lambda r, s: joined(P256_N, s)),
    "signature swapped": lambda k: with_signature(k, lambda r, s: joined(s, r)),
    "signature in DER": lambda k: with_signature(k, encode_dss_signature),
    "signature with leading zeros": lambda k: with_signature(k, lambda r, s: b"\0" + joined(r, s) + b"\0"),
    "signature too short": lambda k: with_signature(k, lambda r, s: joined(r, s)[:-1]),
    "signature of one byte": lambda k: with_signature(k, lambda r, s: b"\0"),
    "signature all ones": lambda k: with_signature(k, lambda r, s: b"\xff" * 64),
    # T-023, V-14: JSON that parsers read differently
    **{
        f"{where}: {name}": spoilt_json(where, spoil)
        for where in ("header", "payload")
        for name, spoil in {
            "NaN": lambda text: text[:-1] + b',"x":NaN}',
            "Infinity": lambda text: text[:-1] + b',"x":Infinity}',
            "-Infinity": lambda text: text[:-1] + b',"x":-Infinity}',
            "1e400": lambda text: text[:-1] + b',"x":1e400}',
            "-1e400": lambda text: text[:-1] + b',"x":-1e400}',
            "5000 digits": lambda text: text[:-1] + b',"x":' + b"9" * 5000 + b"}",
            "4000 digits": lambda text: text[:-1] + b',"x":' + b"9" * 4000 + b"}",
            "2**53": lambda text: text[:-1] + b',"x":9007199254740992}',
            "-2**53": lambda text: text[:-1] + b',"x":-9007199254740992}',
            "comment": lambda text: b"/* */" + text,
            "trailing comma": lambda text: text[:-1] + b",}",
            "single quotes": lambda text: text.replace(b'"', b"'"),
            "BOM": lambda text: b"\xef\xbb\xbf" + text,
            "UTF-16": lambda text: text.decode().encode("utf-16"),
            "UTF-16LE": lambda text: text.decode().encode("utf-16-le"),
            "UTF-32": lambda text: text.decode().encode("utf-32"),
            "latin-1": lambda text: text[:-1] + b',"x":"\xe4"}',
            "lone surrogate in bytes": lambda text: text[:-1] + b',"x":"\xed\xa0\x80"}',
            "lone surrogate escaped": lambda text: text[:-1] + b',"x":"\\ud800"}',
            "lone surrogate as a name": lambda text: text[:-1] + b',"\\udfff":1}',
            "lone surrogate inside a list": lambda text: text[:-1] + b',"x":[["\\uDBFF"]]}',
            "NUL in a string": lambda text: text[:-1] + b',"x":"\0"}',
            "line end in a string": lambda text: text[:-1] + b',"x":"\n"}',
            "NUL behind": lambda text: text + b"\0",
            "two objects": lambda text: text + b"{}",
            "a member twice": lambda text: text[:-1] + b',"y":1,"y":1}',
            "a member twice, once escaped": lambda text: text[:-1] + b',"y":1,"\\u0079":2}',
            "a member twice, deep inside": lambda text: text[:-1] + b',"x":[{"y":1,"y":2}]}',
            "the first member twice": lambda text: text[:-1] + b"," + text[1:],
            "nothing": lambda text: b" ",
            "null": lambda text: b"null",
            "a list": lambda text: b"[" + text + b"]",
            "an empty list": lambda text: b"[]",
            "a string": lambda text: b'"x"',
            "a number": lambda text: b"1",
            "true": lambda text: b"true",
            "cut": lambda text: text[:-1],
            "deep lists": lambda text: b"[" * 2900,
            "deep closed lists": lambda text: text[:-1] + b',"x":' + b"[" * 1400 + b"]" * 1400 + b"}",
            "deep objects": lambda text: b'{"a":' * 1100,
        }.items()
    },
    # V-17: the limit
    "1 MB": lambda k: k.forge(payload={**CLAIMS, "x": "y" * 1_000_000}),
    "1 MB of nothing": lambda k: "A" * 1_000_000,
    "1 MB of dots": lambda k: "." * 1_000_000,
}


def joined(r, s):
    return (r % 2**256).to_bytes(32, "big") + (s % 2**256).to_bytes(32, "big")


def with_signature(key, change):
    signed, _, signature = key.token().rpartition(".")
    raw = unb64(signature)
    changed = change(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return f"{signed}.{b64(changed)}"


def flip_unused_bits(char):
    """The last of 86 characters carries two bits and four that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(char) ^ 1]


def other_alphabet(key, letters):
    """A token in which + or / would stand, spelt so."""
    for number in range(1000):
        text = key.token({**CLAIMS, "number": number})
        if "-" in text or "_" in text:
            return text.translate(str.maketrans("-_", letters))
    raise AssertionError


class TestTokenReader:
    def test_it_reads_what_was_signed(self, key):
        assert key.reader().read(key.token()) == (key.kid, CLAIMS)

    def test_it_reads_every_key_it_was_given_and_no_other(self, ring):
        reader = TokenReader({key.kid: key.jwk for key in ring.values()})
        for key in ring.values():
            assert key.kid in reader
            assert reader.read(key.token()) == (key.kid, CLAIMS)
        stranger = new_key("ES256")
        assert stranger.kid not in reader
        assert reader.read(stranger.token()) is None

    @pytest.mark.parametrize("make_bad", FORGED.values(), ids=FORGED.keys())
    def test_a_bad_text_is_none_of_ours_in_a_cold_and_a_warm_reader(self, es256, make_bad):
        good, bad = es256.token(), make_bad(es256)
        assert bad != good
        reader = es256.reader()
        for _ in range(2):
            assert reader.read(bad) is None
            assert reader.read(good) == (es256.kid, CLAIMS)
        assert es256.reader().read(bad) is None
        assert reader.peek_kid(bad) is None or isinstance(reader.peek_kid(bad), str)

    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None])
    @pytest.mark.parametrize("signature", ["kept", "empty", "removed", "of one byte"])
    def test_t_001_no_algorithm_is_no_token(self, key, alg, signature):
        header, body, kept = key.token().split(".")
        header = b64(as_bytes({"typ": "at+jwt", "alg": alg, "kid": key.kid}))
        text = {
            "kept": f"{header}.{body}.{kept}",
            "empty": f"{header}.{body}.",
            "removed": f"{header}.{body}",
            "of one byte": f"{header}.{body}.AA",
        }[signature]
        assert key.reader().read(text) is None

    @pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
    def test_t_003_t_005_no_hmac_key_is_ever_taken(self, key, alg):
        """Signed with everything public, in every form it may be read from a file, and with nothing at all."""
        public = jwt.PyJWK(key.jwk).key
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        texts = [
            pem,
            pem.strip(),
            b"\xef\xbb\xbf" + pem,
            b" " + pem,
            pem + b" ",
            b"\t" + pem,
            pem.replace(b"\n", b"\r\n"),
            pem.replace(b"\n", b"\r"),
            pem.replace(b"\n", b"\n\n"),
            der,
            key.new.public_jwk.encode(),
            key.kid.encode(),
            b"",
            b"\0",
            b" ",
        ]
        reader = key.reader()
        header = {"typ": "at+jwt", "alg": alg, "kid": key.kid}
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
        for secret in texts:
            for said in (header, key.header):
                signed = f"{b64(as_bytes(said))}.{b64(as_bytes(CLAIMS))}"
                forged = f"{signed}.{b64(hmac.digest(secret, signed.encode(), digest))}"
                assert reader.read(forged) is None

    def test_t_007_no_address_in_a_header_is_ever_called(self, es256):
        attacker = ec.generate_private_key(ec.SECP256R1())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/keys.json"
            reader = es256.reader()
            for header in (
                {**es256.header, "jku": address},
                {**es256.header, "x5u": address},
                {**es256.header, "kid": address},
                {**es256.header, "jwk": {**public_of(attacker), "kid": es256.kid}},
            ):
                assert reader.read(es256.forge(header)) is None
                assert reader.read(jwt.encode(CLAIMS, attacker, algorithm="ES256", headers=header)) is None
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_t_013_a_key_verifies_with_its_own_algorithm_only(self, ring):
        """One RSA key, published for RS256: a PS256 signature of the same key is none of ours."""
        rs = ring["RS256"]
        ps_sign = unseal(rs.kid, "PS256", rs.new.sealed_private, MASTER)
        for alg in ("PS256", "RS256"):
            text = TokenSigner(rs.kid, alg, ps_sign).sign(CLAIMS)
            assert rs.reader().read(text) is None

    @pytest.mark.parametrize("shift", [1, 2, 7])
    def test_t_015_an_ed25519_signature_has_one_spelling(self, ring, shift):
        """S and S + L verify alike for whoever does not check the range (RFC 8032 §5.1.7)."""
        key = ring["EdDSA"]
        signed, _, signature = key.token().rpartition(".")
        raw = unb64(signature)
        twin = int.from_bytes(raw[32:], "little") + shift * ED25519_L
        text = f"{signed}.{b64(raw[:32] + twin.to_bytes(32, 'little'))}"
        assert key.reader().read(text) is None

    @pytest.mark.parametrize("alg", ["RS256", "PS256"])
    def test_t_015_an_rsa_signature_has_one_spelling(self, ring, alg):
        key = ring[alg]
        signed, _, signature = key.token().rpartition(".")
        number, n = int.from_bytes(unb64(signature), "big"), int.from_bytes(unb64(key.jwk["n"]), "big")
        twins = [b"\0" + unb64(signature), unb64(signature) + b"\0", (number + n).to_bytes(385, "big")]
        if number + n < 2**3072:
            twins.append((number + n).to_bytes(384, "big"))
        for twin in twins:
            assert key.reader().read(f"{signed}.{b64(twin)}") is None

    def test_t_015_both_twins_verify_in_a_stock_library_so_the_reader_must_choose(self, es256):
        twin = with_signature(es256, lambda r, s: joined(r, P256_N - s))
        assert jwt.decode(twin, jwt.PyJWK(es256.jwk), algorithms=["ES256"], options={"verify_exp": False}) == CLAIMS
        assert es256.reader().read(twin) is None

    def test_t_029_a_forged_token_with_a_real_jti_is_none_of_ours(self, es256):
        attacker = ec.generate_private_key(ec.SECP256R1())
        richer = {**CLAIMS, "roles": ["reader", "admin"]}
        forged = jwt.encode(richer, attacker, algorithm="ES256", headers={"typ": "at+jwt", "kid": es256.kid})
        reader = es256.reader()
        assert reader.read(es256.token()) is not None
        assert reader.read(forged) is None

    def test_parts_of_two_good_tokens_make_no_third(self, es256):
        one, two = es256.token().split("."), es256.token({**CLAIMS, "roles": ["writer"]}).split(".")
        reader = es256.reader()
        assert reader.read(".".join(one))
        assert reader.read(".".join(two))
        assert reader.read(".".join([one[0], one[1], two[2]])) is None
        assert reader.read(".".join([one[0], two[1], one[2]])) is None

    def test_a_text_read_as_one_type_is_not_remembered_as_another(self, es256):
        reader = es256.reader()
        text = es256.token()
        assert reader.read(text, "at+jwt")
        assert reader.read(text, "token-introspection+jwt") is None
        answer = es256.token(typ="token-introspection+jwt")
        assert reader.read(answer, "token-introspection+jwt") == (es256.kid, CLAIMS)
        assert reader.read(answer) is None
        assert reader.read(f"x {text}", "") is None

    def test_v_17_8_kb_are_read_and_not_one_character_more(self, es256):
        lengths = {len(es256.token({"x": "y" * size})): size for size in range(5700, 6100)}
        longest = max(length for length in lengths if length <= 8192)
        too_long = min(length for length in lengths if length > 8192)
        assert longest >= 8191
        assert too_long <= 8194
        for length, is_read in ((longest, True), (too_long, False)):
            text = es256.token({"x": "y" * lengths[length]})
            assert (es256.reader().read(text) is not None) is is_read
            assert (es256.reader().peek_kid(text) is not None) is is_read

    def test_numbers_up_to_2_to_the_53_are_read(self, es256):
        claims = {"largest": 2**53 - 1, "smallest": -(2**53 - 1), "zero": 0, "half": 0.5, "big": 1e300}
        assert es256.reader().read(es256.token(claims)) == (es256.kid, claims)

    def test_a_surrogate_pair_is_one_good_character(self, es256):
        assert es256.reader().read(es256.token({"x": "\U0001f916"})) == (es256.kid, {"x": "\U0001f916"})

    def test_inv_31_threads_that_share_it_never_see_another_ones_token(self, es256):
        reader = es256.reader()
        texts = [es256.token({"number": number}) for number in range(20)]
        wrong = []

        def read(start):
            for step in range(200):
                number = (start * 7 + step) % 20
                if reader.read(texts[number]) != (es256.kid, {"number": number}):
                    wrong.append(number)
                if reader.read(texts[number][:-2]) is not None:
                    wrong.append(-number)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            join(thread)
        assert wrong == []

    @patient
    @given(st.text() | st.text(alphabet="AZaz09-_.=+/ ", max_size=80))
    def test_it_never_raises(self, ring, text):
        reader = ring["ES256"].reader()
        assert reader.read(text) is None
        assert reader.peek_kid(text) is None

    @patient
    @given(header=st.binary(max_size=60), payload=st.binary(max_size=60))
    def test_it_never_raises_for_any_signed_bytes(self, ring, header, payload):
        key = ring["ES256"]
        assert key.reader().read(key.forge(header, payload)) is None
        assert key.reader().peek_kid(key.forge(header, payload)) in (None, "x")
        read = key.reader().read(key.forge(payload=payload))
        assert read is None or read[1] == json.loads(payload)

    @patient
    @given(data=st.data())
    def test_any_change_of_any_character_makes_it_none_of_ours(self, ring, data):
        key = data.draw(st.sampled_from([ring["ES256"], ring["EdDSA"], ring["RS256"]]))
        text = key.token()
        place = data.draw(st.integers(0, len(text) - 1))
        instead = data.draw(st.text(max_size=2).filter(lambda chars: chars != text[place]))
        assert key.reader().read(text[:place] + instead + text[place + 1 :]) is None


class TestPeekKid:
    def test_it_tells_the_name_a_text_claims(self, es256):
        assert es256.reader().peek_kid(es256.token()) == es256.kid
        assert TokenReader({}).peek_kid(es256.token()) == es256.kid

    @pytest.mark.parametrize("value", [value for value in NOT_TEXT if not isinstance(value, str)])
    def test_a_name_that_is_no_text_is_none(self, es256, value):
        assert es256.reader().peek_kid(es256.forge({**es256.header, "kid": value})) is None

    @pytest.mark.parametrize("header", [b"[]", b"1", b"null", b'"x"', b"{}", b"[" * 5000, b"\xff", b'{"kid":1e999}'])
    def test_a_header_that_is_no_object_of_ours_is_none(self, header):
        assert TokenReader({}).peek_kid(f"{b64(header)}.e30.AA") is None


class TestWhatAReaderTrusts:
    @pytest.mark.parametrize("use", ["enc", "", None])
    def test_v_04_a_key_for_another_use_verifies_nothing(self, es256, use):
        reader = TokenReader({es256.kid: {**es256.jwk, "use": use}})
        assert es256.kid not in reader
        assert reader.read(es256.token()) is None

    @pytest.mark.parametrize("alg", ["ES512", "HS256", "none", "", None, "ML-DSA-87"])
    def test_v_04_a_key_for_an_algorithm_we_do_not_know_is_passed_over(self, es256, alg):
        reader = TokenReader({es256.kid: {**es256.jwk, "alg": alg}, "other": es256.jwk})
        assert es256.kid not in reader
        assert "other" in reader

    @pytest.mark.parametrize("alg", ["RS256", "PS256", "EdDSA"])
    def test_v_04_a_key_of_another_kind_than_its_algorithm_is_refused(self, es256, alg):
        with pytest.raises(ValueError, match="is not a key for"):
            TokenReader({es256.kid: {**es256.jwk, "alg": alg}})

    def test_v_04_a_key_of_another_curve_is_refused(self):
        other = joserfc.jwk.ECKey.generate_key("P-384").as_dict(private=False)
        with pytest.raises(ValueError, match="is not a key for ES256"):
            TokenReader({"k": {**other, "alg": "ES256", "use": "sig"}})

    def test_an_hmac_key_is_refused_under_any_name(self):
        for alg in ("ES256", "RS256", "PS256", "EdDSA"):
            with pytest.raises(ValueError, match="private member"):
                TokenReader({"k": {"kty": "oct", "k": "AAAA", "alg": alg, "use": "sig"}})
        assert "k" not in TokenReader({"k": {"kty": "oct", "k": "AAAA", "alg": "HS256", "use": "sig"}})

    @pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
    def test_t_017_a_private_member_is_refused_and_not_told(self, es256, member):
        with pytest.raises(ValueError, match="private member") as refused:
            TokenReader({es256.kid: {**es256.jwk, member: "c2VjcmV0"}})
        assert "c2VjcmV0" not in str(refused.value)

    def test_t_017_a_weak_rsa_key_is_refused(self):
        public = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505 - the weak key to refuse
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
        with pytest.raises(ValueError, match="too weak"):
            TokenReader({"k": {**jwk, "alg": "RS256", "use": "sig"}})

    @pytest.mark.parametrize("spoil", [{"x": "AA"}, {"x": "!"}, {"crv": "P-999"}, {"kty": "XX"}, {"y": ""}])
    def test_a_broken_key_is_refused_by_name(self, es256, spoil):
        with pytest.raises(ValueError, match=es256.kid):
            TokenReader({es256.kid: {**es256.jwk, **spoil}})

    def test_without_keys_nothing_is_ours(self, key):
        assert TokenReader({}).read(key.token()) is None
