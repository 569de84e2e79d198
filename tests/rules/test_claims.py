"""The claims of a token."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.rules.claims import SessionStart, claims_of, session_of
from tests.rules.support import ISSUER, NOW, OWNER, START, made, patient, place

NAMES: list[tuple[str, ...]] = [
    ("iss",),
    ("aud",),
    ("sub",),
    ("client_id",),
    ("act",),
    ("act", "sub"),
    ("scope",),
    ("roles",),
    ("role_version",),
    ("iat",),
    ("exp",),
    ("jti",),
    ("standing",),
    ("standing", "secret"),
    ("standing", "credential_version"),
    ("standing", "epoch"),
]
texts = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
numbers = st.integers(0, 2**53 - 1)
versions, instants = st.integers(0, 2**31 - 1), st.integers(0, 2**40 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
starts = st.builds(
    SessionStart,
    jti=texts,
    client_id=texts,
    secret_id=texts,
    kid=st.just("key-1"),
    audience=texts,
    roles=st.lists(st.text(alphabet="abc:/.", min_size=1, max_size=5), min_size=1, max_size=4).map(" ".join),
    role_version=versions,
    credential_version=versions,
    epoch=versions,
    issued_at=instants,
    expires_at=instants,
)


class TestClaims:
    def test_a_token_says_this_and_nothing_else(self):
        assert made() == {
            "iss": "https://auth.example.com",
            "aud": "https://api.example.com",
            "sub": "usr_ada",
            "client_id": "2f7d1c0e-0a1b-4bbb-8ccc-123456789abc",
            "act": {"sub": "2f7d1c0e-0a1b-4bbb-8ccc-123456789abc"},
            "scope": "reader writer",
            "roles": ["reader", "writer"],
            "role_version": 7,
            "iat": 1_800_000_000,
            "exp": 1_800_003_600,
            "jti": "Zk3vQ9wLm2Xr8TnB5yHc1DfJ",
            "standing": {"secret": "sec_1", "credential_version": 3, "epoch": 2},
        }

    @patient
    @given(start=starts, owner=texts, issuer=texts)
    def test_what_was_made_is_read_back(self, start, owner, issuer):
        claims = claims_of(start, issuer=issuer, owner_id=owner)
        assert session_of("key-1", claims, issuer) == start

    @pytest.mark.parametrize(
        "other", ["https://auth.example.com/", "http://auth.example.com", "HTTPS://auth.example.com", "", None]
    )
    def test_v_12_another_issuer_is_refused_to_the_letter(self, other):
        assert session_of("key-1", made(), other) is None
        assert session_of("key-1", {**made(), "iss": other}, ISSUER) is None

    def test_the_table_of_members_below_is_whole(self):
        claims = made()
        inner = [(name, below) for name in claims if isinstance(claims[name], dict) for below in claims[name]]
        assert sorted(NAMES) == sorted([*((name,) for name in claims), *inner])

    @pytest.mark.parametrize("path", NAMES)
    def test_j_03_each_missing_member_is_noticed(self, path):
        claims = made()
        del place(claims, path)[path[-1]]
        assert session_of("key-1", claims, ISSUER) is None

    @pytest.mark.parametrize("where", [(), ("act",), ("standing",)])
    def test_an_added_member_is_noticed(self, where):
        claims = made()
        place(claims, (*where, "x"))["nbf"] = NOW + 60
        assert session_of("key-1", claims, ISSUER) is None

    @pytest.mark.parametrize("path", NAMES)
    @patient
    @given(data=st.data())
    def test_a_member_of_another_type_is_noticed(self, path, data):
        claims = made()
        right = place(claims, path)[path[-1]]
        wrong = data.draw(json_values.filter(lambda value: type(value) is not type(right)))
        place(claims, path)[path[-1]] = wrong
        assert session_of("key-1", claims, ISSUER) is None

    @pytest.mark.parametrize("path", [("role_version",), ("iat",), ("exp",), ("standing", "epoch")])
    @pytest.mark.parametrize("wrong", [True, False, 1.0, 1e400, float("nan"), "1", None, [1], {"1": 1}])
    def test_v_10_a_number_is_a_whole_number(self, path, wrong):
        """Also where the wrong value equals the right one in Python, as ``True == 1`` and ``1.0 == 1``."""
        claims = claims_of(
            START._replace(role_version=1, issued_at=1, expires_at=1, epoch=1), issuer=ISSUER, owner_id=OWNER
        )
        assert session_of("key-1", claims, ISSUER) is not None
        place(claims, path)[path[-1]] = wrong
        assert session_of("key-1", claims, ISSUER) is None

    @pytest.mark.parametrize("path", [("act", "sub"), ("scope",), ("roles",), ("client_id",), ("iss",)])
    def test_members_that_repeat_each_other_must_agree(self, path):
        claims = made()
        right = place(claims, path)[path[-1]]
        place(claims, path)[path[-1]] = [*right, "admin"] if isinstance(right, list) else right + " admin"
        assert session_of("key-1", claims, ISSUER) is None

    def test_roles_in_another_order_or_twice_are_noticed(self):
        assert session_of("key-1", {**made(), "roles": ["writer", "reader"]}, ISSUER) is None
        assert session_of("key-1", {**made(), "roles": ["reader", "writer", "writer"]}, ISSUER) is None

    @pytest.mark.parametrize("audience", [[], [""], "", None, {}, [["https://api.example.com"]], 0, True])
    def test_t_027_an_audience_is_one_text(self, audience):
        assert session_of("key-1", {**made(), "aud": audience}, ISSUER) is None

    def test_t_027_a_list_with_ours_in_it_is_no_audience(self):
        ours = "https://api.example.com"
        assert session_of("key-1", {**made(), "aud": [ours]}, ISSUER) is None
        assert session_of("key-1", {**made(), "aud": [ours, *map(str, range(10_000))]}, ISSUER) is None

    @pytest.mark.parametrize("path", [("sub",), ("jti",), ("aud",), ("standing", "secret")])
    def test_an_empty_text_is_none(self, path):
        claims = made()
        place(claims, path)[path[-1]] = ""
        assert session_of("key-1", claims, ISSUER) is None

    @patient
    @given(json_values.filter(lambda value: isinstance(value, dict)))
    def test_any_object_at_all_gets_an_answer(self, claims):
        assert session_of("key-1", claims, ISSUER) is None

    @patient
    @given(start=starts, seed=st.integers())
    def test_no_order_of_members_matters(self, start, seed):
        items = list(claims_of(start, issuer=ISSUER, owner_id=OWNER).items())
        random.Random(seed).shuffle(items)
        assert session_of("key-1", dict(items), ISSUER) == start
