"""The text of a token is made."""

import json

import pytest

from keys.signing import TokenReader, TokenSigner
from tests.keys.support import CLAIMS, NOT_TEXT, b64, unb64


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
