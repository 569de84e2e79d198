"""Which roles a token may carry."""

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authserver.rules.role_subset import BadScope, Grant, granted, parse_scope
from tests.rules.support import patient

SIX = ("a", "b", "c", "d", "e", "f")
SUBSETS = [frozenset(some) for size in range(7) for some in combinations(SIX, size)]


class TestRoleSubset:
    @pytest.mark.parametrize(
        ("asked", "chosen", "held", "roles", "refused"),
        [
            ("", "a b", "a b c", "a b", ""),
            ("", "a b", "b c", "b", ""),
            ("a", "a b", "a b c", "a", ""),
            ("b a", "a b", "a b", "a b", ""),
            ("c", "a b", "a b c", "", "c"),
            ("a", "a b", "b c", "", "a"),
            ("a c", "a b", "a b c", "", "c"),
            ("", "a b", "c", "", ""),
            ("", "a b", "", "", ""),
            ("z y", "a", "a", "", "y z"),
            ("A", "a", "a", "", "A"),
        ],
    )
    def test_a_token_gets_asked_and_chosen_and_held(self, asked, chosen, held, roles, refused):
        grant = granted(*(frozenset(text.split()) for text in (asked, chosen, held)))
        assert grant == Grant(tuple(roles.split()), tuple(refused.split()))

    def test_t_043_inv_04_over_all_subsets_of_six_roles(self):
        """All 64 x 64 x 64 cases, judged role by role."""
        assert len(SUBSETS) == 64
        for asked in SUBSETS:
            for chosen in SUBSETS:
                for held in SUBSETS:
                    grant = granted(asked, chosen, held)
                    to_be_had = [role for role in SIX if role in chosen and role in held]
                    wanted = [role for role in SIX if role in asked] or to_be_had
                    if any(role not in to_be_had for role in wanted):
                        assert grant.roles == ()
                        assert grant.refused
                    else:
                        assert grant == Grant(tuple(wanted))

    @pytest.mark.parametrize(
        ("scope", "names"),
        [
            ("", set()),
            ("reader", {"reader"}),
            ("reader writer", {"reader", "writer"}),
            ("writer reader", {"reader", "writer"}),
            ("reader reader", {"reader"}),
            ("Reader reader", {"Reader", "reader"}),
            ("!", {"!"}),
            ("#[ ]~", {"#[", "]~"}),
            ("urn:a/b.c_d-e", {"urn:a/b.c_d-e"}),
        ],
    )
    def test_a_scope_is_names_with_one_space_between(self, scope, names):
        assert parse_scope(scope) == names

    @pytest.mark.parametrize(
        "scope",
        [
            " ",
            " reader",
            "reader ",
            "reader  writer",
            "reader\twriter",
            "reader\nwriter",
            "reader\n",
            "\x00",
            "\x1f",
            "a\x7fb",
            'a"b',
            "a\\b",
            "rôle",
            "a\u00a0b",
            "\u200b",
            "\ud800",
            "a,b\u2028",
        ],
    )
    def test_any_other_scope_is_refused_by_rfc_6749_3_3(self, scope):
        with pytest.raises(BadScope, match=r"RFC 6749 section 3\.3"):
            parse_scope(scope)

    @patient
    @given(st.text(max_size=30) | st.text(alphabet='ab "\\\t!~\x7f', max_size=12))
    @example("a b")
    def test_the_grammar_is_that_of_the_rfc_character_by_character(self, scope):
        def legal(name):
            # scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
            codes = [ord(char) for char in name]
            return bool(codes) and all(code == 0x21 or 0x23 <= code <= 0x5B or 0x5D <= code <= 0x7E for code in codes)

        if scope == "" or all(legal(name) for name in scope.split(" ")):
            assert parse_scope(scope) == {name for name in scope.split(" ") if name}
        else:
            with pytest.raises(BadScope):
                parse_scope(scope)
