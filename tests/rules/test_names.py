"""Lifetimes, and the names of things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.rules.lifetime import DAY, token_end
from authserver.rules.names import CLIENT_ID, audience_fault, display_name_fault, role_name_fault, username_fault
from authserver.rules.role_subset import parse_scope
from tests.rules.support import NOW, patient


class TestLifetime:
    @pytest.mark.parametrize(
        ("max_lifetime", "credential_left", "secret_left", "lives"),
        [
            (3600, 86_400, None, 3600),
            (3600, 86_400, 7200, 3600),
            (3600, 1800, None, 1800),
            (3600, 1800, 900, 900),
            (3600, 86_400, 900, 900),
            (3600, 900, 1800, 900),
            (3600, 3600, 3600, 3600),
            (60, 1, None, 1),
        ],
    )
    def test_inv_07_a_token_ends_with_the_first_of_its_ends(self, max_lifetime, credential_left, secret_left, lives):
        secret_end = None if secret_left is None else NOW + secret_left
        assert token_end(NOW, max_lifetime, NOW + credential_left, secret_end) == NOW + lives

    def test_a_secret_that_ended_at_the_beginning_of_time_counts(self):
        assert token_end(NOW, 3600, NOW + 3600, 0) == 0

    def test_a_day_has_86400_seconds(self):
        assert DAY == 86_400


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a", "Reader", "0", "orders:read", "a/b", "a.b_c-d:e/f", "x" * 64, "9" + "-" * 63]
    )
    def test_these_are_role_names_and_scope_tokens(self, name):
        assert role_name_fault(name) is None
        assert parse_scope(name) == {name}

    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            "a b",
            " a",
            "a ",
            "a\n",
            "-a",
            ".a",
            ":a",
            "/a",
            "_a",
            "x" * 65,
            "rôle",
            "r\u200bole",
            "\u0430dmin",
            "a,b",
            'a"b',
            "a\\b",
            "a*",
            "a\x00",
            "\uff41",
            "a@b",
            "a+b",
        ],
    )
    def test_these_are_not_role_names(self, name):
        assert "role name" in str(role_name_fault(name))

    @pytest.mark.parametrize("name", ["ada", "Ada.Lovelace", "a", "ada@example.com", "a+b", "0", "a_b-c", "x" * 128])
    def test_these_are_user_names(self, name):
        assert username_fault(name) is None

    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            "-a",
            "@a",
            "+a",
            "_a",
            ".a",
            "a b",
            "a\n",
            "a/b",
            "a:b",
            "x" * 129,
            "ad\u0430",
            "İ",
            "a\u00ad",
            "a\x00",
        ],
    )
    def test_these_are_not_user_names(self, name):
        assert "user name" in str(username_fault(name))

    @pytest.mark.parametrize("name", ["x", "My bot", "Büro-Roboter №1", "機械", "x" * 100, "🤖", "O'Neil & <sons>"])
    def test_a_credential_may_have_any_visible_name(self, name):
        assert display_name_fault(name) is None

    @pytest.mark.parametrize("name", ["", " ", "\u3000", "x" * 101])
    def test_a_name_is_1_to_100_characters(self, name):
        assert display_name_fault(name) == "a name is 1 to 100 characters"

    @pytest.mark.parametrize(
        "char", ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u200b", "\u202e", "\u2028", "\u2029", "\ud800"]
    )
    def test_a_name_holds_nothing_invisible(self, char):
        assert "no control" in str(display_name_fault(f"a{char}b"))

    @pytest.mark.parametrize(
        "uri",
        [
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com:8443/v1?tenant=1",
            "http://127.0.0.1:9000",
            "https://[::1]:9000/a",
            "urn:example:api",
            "api://00000003-0000-0ff1",
            "https://api.example.com/%7Ea",
            "https://e.example/" + "x" * 237,
        ],
    )
    def test_these_are_audiences(self, uri):
        assert audience_fault(uri) is None

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "api",
            "/api",
            "//api.example.com",
            "api.example.com",
            "https:",
            "https://",
            "https:///path",
            "https:api.example.com",
            "http:/api.example.com",
            "HTTPS:api.example.com",
            "https://:8443",
            "https://api.example.com#part",
            "https://api.example.com/#",
            "https://api.example.com/a b",
            " https://api.example.com",
            "https://api.example.com\n",
            "https://api.example.com\x7f",
            "https://api.example.com\x00",
            "https://äpi.example.com",
            "https://api.example.com/<a>",
            'https://api.example.com/"',
            "https://api.example.com\\evil",
            "https://api.example.com/%zz",
            "https://api.example.com/%4",
            "https://[::1",
            "https://api.example.com:port",
            "https://api.example.com:99999",
            "https://api.example.com:0",
            "1https://api.example.com",
            "https://e.example/" + "x" * 238,
        ],
    )
    def test_these_are_not_audiences(self, uri):
        assert "absolute URI" in str(audience_fault(uri))

    @patient
    @given(st.text())
    def test_any_text_at_all_gets_an_answer_that_never_echoes_it(self, text):
        results = {fault(text) for fault in (role_name_fault, username_fault, display_name_fault, audience_fault)}
        assert results <= {
            None,
            "a role name is 1 to 64 of A-Z a-z 0-9 . _ : / - and starts with a letter or digit",
            "a user name is 1 to 128 of A-Z a-z 0-9 . _ @ + - and starts with a letter or digit",
            "a name is 1 to 100 characters",
            "a name holds no control, invisible or line-breaking characters",
            (
                "an audience is an absolute URI such as https://api.example.com, without a fragment, "
                "of 255 characters at most"
            ),
        }

    @pytest.mark.parametrize(
        ("text", "whole"),
        [
            ("2f7d1c0e-0a1b-4bbb-8ccc-123456789abc", True),
            ("2f7d1c0e-0a1b-4bbb-bccc-123456789abc", True),
            ("2F7D1C0E-0A1B-4BBB-8CCC-123456789ABC", False),
            ("2f7d1c0e-0a1b-1bbb-8ccc-123456789abc", False),
            ("2f7d1c0e-0a1b-4bbb-cccc-123456789abc", False),
            ("2f7d1c0e0a1b4bbb8ccc123456789abc", False),
            ("{2f7d1c0e-0a1b-4bbb-8ccc-123456789abc}", False),
            ("2f7d1c0e-0a1b-4bbb-8ccc-123456789abc\n", False),
            ("2f7d1c0e-0a1b-4bbb-8ccc-123456789ab\u0663", False),
            ("usr_7d1c0e0a1b4bbb8ccc12", False),
        ],
    )
    def test_t_057_a_client_id_has_one_spelling(self, text, whole):
        assert bool(CLIENT_ID.fullmatch(text)) is whole
