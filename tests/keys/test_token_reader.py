"""The text of a token is read and verified.

One module, because the table of bad texts and what reads them belong together.
"""

import hmac
import json
import re
import socket
import threading
from collections.abc import Callable

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from keys.material import unseal
from keys.signing import TokenReader, TokenSigner
from tests.keys.support import CLAIMS, MASTER, NOT_TEXT, P256_N, Key, as_bytes, b64, new_key, patient, public_of, unb64
from tests.support.deadlines import join

ED25519_L = 2**252 + 27742317777372353535851937790883648493


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
