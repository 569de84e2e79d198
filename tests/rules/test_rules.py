"""The rules, as tables written by hand and as properties that carry their invariant's number."""

import random
import re
import secrets
import zlib
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authserver.rules import liveness
from authserver.rules.claims import SessionStart, claims_of, session_of
from authserver.rules.facts import Decision, Reason, Standing, Token, over
from authserver.rules.idle import USE_TOLERANCE, idle_end, unused_too_long, used_since
from authserver.rules.lifetime import DAY, issued_since, token_end
from authserver.rules.liveness import decide
from authserver.rules.names import CLIENT_ID, audience_fault, display_name_fault, role_name_fault, username_fault
from authserver.rules.role_subset import BadScope, Grant, granted, parse_scope
from authserver.rules.role_version import credential_was_switched, restored, roles_changed
from authserver.rules.secret_format import (
    ALPHABET,
    MAX_LIVE_SECRETS,
    OVERLAPS,
    checksum,
    hint,
    keyed_hash,
    mint,
    well_formed,
)

patient = settings(deadline=None)

NOW = 1_800_000_000

# A token in the middle of its life: issued ten minutes ago, used one minute ago, all well around it.
TOKEN = Token(
    jti="t1",
    issued_at=NOW - 600,
    expires_at=NOW + 3000,
    last_used_at=NOW - 60,
    role_version=7,
    credential_version=3,
    epoch=2,
)
STANDING = Standing(
    idle_timeout=1800,
    max_lifetime=3600,
    used_since=0,
    issued_since=0,
    epoch=2,
    key_usable=True,
    owner_disabled=False,
    role_version=7,
    credential_deleted=False,
    credential_disabled=False,
    credential_version=3,
    credential_expires_at=NOW + 86_400,
    secret_ends_at=None,
)


class TestFacts:
    @pytest.mark.parametrize(("now", "is_over"), [(99, False), (100, True), (101, True)])
    def test_a_life_that_ends_at_100_is_over_from_the_very_second_100(self, now, is_over):
        assert over(now, 100) is is_over

    @pytest.mark.parametrize("decision", [Decision(), Decision(Reason.IDLE)])
    def test_a_decision_refuses_to_be_a_truth_value(self, decision):
        with pytest.raises(TypeError, match=re.escape("decision.alive")):
            bool(decision)

    def test_a_decision_is_alive_only_without_a_reason(self):
        assert Decision().alive is True
        assert Decision(Reason.IDLE).alive is False

    def test_facts_cannot_be_changed(self):
        for fact, name in [(TOKEN, "last_used_at"), (STANDING, "role_version"), (Decision(), "reason")]:
            with pytest.raises(AttributeError):
                setattr(fact, name, 1)

    def test_reasons_are_stored_under_these_names_for_ever(self):
        assert {reason.value for reason in Reason} >= {
            "key_compromised",
            "restored",
            "owner_disabled",
            "credential_deleted",
            "credential_disabled",
            "revoked",
            "ended_by_owner",
            "expired",
            "credential_expired",
            "secret_ended",
            "issued_in_the_future",
            "roles_changed",
            "idle",
        }


class TestIdle:
    @pytest.mark.parametrize(
        ("timeout", "unused_for", "dead"),
        [
            (60, 59, False),
            (60, 60, True),
            (60, 61, True),
            (1800, 1799, False),
            (1800, 1800, True),
            (86_400, 86_399, False),
            (86_400, 86_400, True),
        ],
    )
    def test_a_token_unused_for_the_idle_timeout_is_dead(self, timeout, unused_for, dead):
        token = TOKEN._replace(last_used_at=NOW - unused_for)
        expected = Reason.IDLE if dead else None
        assert unused_too_long(token, NOW, STANDING._replace(idle_timeout=timeout)) is expected

    def test_a_shorter_timeout_counts_at_once_for_live_tokens(self):
        token = TOKEN._replace(last_used_at=NOW - 600)
        assert decide(token, NOW, STANDING).alive
        assert decide(token, NOW, STANDING._replace(idle_timeout=600)).reason is Reason.IDLE

    def test_the_end_that_is_told_is_the_second_it_dies(self):
        end = idle_end(TOKEN, STANDING)
        assert end == NOW - 60 + 1800
        assert unused_too_long(TOKEN, end - 1, STANDING) is None
        assert unused_too_long(TOKEN, end, STANDING) is Reason.IDLE

    def test_the_stated_tolerance_is_two_seconds(self):
        assert USE_TOLERANCE == 2

    @patient
    @given(timeout=st.integers(60, 86_400), gaps=st.lists(st.floats(0, 1, exclude_max=True), min_size=1))
    def test_inv_06_used_every_t_minus_epsilon_it_never_idles_out(self, timeout, gaps):
        """True time is a fraction; the clock shows whole seconds of it."""
        true_time = float(NOW)
        token = TOKEN._replace(last_used_at=NOW)
        for gap in gaps:
            true_time += gap * (timeout - USE_TOLERANCE)
            now = int(true_time)
            assert unused_too_long(token, now, STANDING._replace(idle_timeout=timeout)) is None
            token = token._replace(last_used_at=now)

    @patient
    @given(timeout=st.integers(60, 86_400), used=st.floats(0, 1), more=st.floats(0, 1e6))
    def test_inv_06_unused_for_t_plus_epsilon_it_is_never_active_again(self, timeout, used, more):
        token = TOKEN._replace(last_used_at=int(NOW + used))
        now = int(NOW + used + timeout + USE_TOLERANCE + more)
        assert unused_too_long(token, now, STANDING._replace(idle_timeout=timeout)) is Reason.IDLE


class TestVersions:
    """A version that differs kills, older or newer: none ever goes back (INV-03)."""

    @pytest.mark.parametrize(("in_token", "dead"), [(6, True), (7, False), (8, True)])
    def test_inv_01_a_token_of_another_role_version_is_dead(self, in_token, dead):
        token = TOKEN._replace(role_version=in_token)
        assert roles_changed(token, NOW, STANDING) is (Reason.ROLES_CHANGED if dead else None)

    @pytest.mark.parametrize(("in_token", "dead"), [(2, True), (3, False), (4, True)])
    def test_inv_05_a_credential_disabled_and_enabled_since_leaves_its_tokens_dead(self, in_token, dead):
        token = TOKEN._replace(credential_version=in_token)
        assert credential_was_switched(token, NOW, STANDING) is (Reason.CREDENTIAL_DISABLED if dead else None)

    @pytest.mark.parametrize(("in_token", "dead"), [(1, True), (2, False), (3, True)])
    def test_inv_03_a_token_of_another_epoch_is_dead(self, in_token, dead):
        token = TOKEN._replace(epoch=in_token)
        assert restored(token, NOW, STANDING) is (Reason.EPOCH if dead else None)


# What alone kills the token above, and the reason its owner is told.
KILLS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "its session was revoked": ({"ended": Reason.REVOKED}, {}, "revoked"),
    "its owner ended it": ({"ended": Reason.ENDED_BY_OWNER}, {}, "ended_by_owner"),
    "its session idled out before": ({"ended": Reason.IDLE}, {}, "idle"),
    "its key is compromised or removed": ({}, {"key_usable": False}, "key_compromised"),
    "its owner is disabled": ({}, {"owner_disabled": True}, "owner_disabled"),
    "its credential is deleted": ({}, {"credential_deleted": True}, "credential_deleted"),
    "its credential is disabled": ({}, {"credential_disabled": True}, "credential_disabled"),
    "its credential was switched off and on": ({}, {"credential_version": 4}, "credential_disabled"),
    "its credential version is ahead": ({"credential_version": 4}, {}, "credential_disabled"),
    "the database was restored": ({}, {"epoch": 3}, "restored"),
    "its epoch is ahead": ({"epoch": 3}, {}, "restored"),
    "it ends now": ({"expires_at": NOW}, {}, "expired"),
    "the maximum lifetime was shortened": ({}, {"max_lifetime": 600}, "expired"),
    "its credential expires now": ({}, {"credential_expires_at": NOW}, "credential_expired"),
    "its secret ends now": ({}, {"secret_ends_at": NOW}, "secret_ended"),
    "its secret ended at the beginning of time": ({}, {"secret_ends_at": 0}, "secret_ended"),
    "it comes from the future": ({"issued_at": NOW + 6}, {}, "issued_in_the_future"),
    "a role was assigned or removed": ({}, {"role_version": 8}, "roles_changed"),
    "its role version is ahead": ({"role_version": 8}, {}, "roles_changed"),
    "it was not used": ({"last_used_at": NOW - 1800}, {}, "idle"),
}


class TestLiveness:
    def test_with_nothing_against_it_a_token_is_alive(self):
        assert decide(TOKEN, NOW, STANDING) == Decision()

    @pytest.mark.parametrize(("token", "standing", "reason"), KILLS.values(), ids=KILLS.keys())
    def test_each_reason_alone_kills(self, token, standing, reason):
        assert decide(TOKEN._replace(**token), NOW, STANDING._replace(**standing)).reason == reason

    def test_the_questions_are_asked_in_this_order(self):
        assert [rule.__name__ for rule in liveness.RULES] == [
            "already_ended",
            "switched_off",
            "restored",
            "credential_was_switched",
            "from_the_future",
            "past_its_end",
            "roles_changed",
            "unused_too_long",
        ]

    def test_when_all_goes_wrong_at_once_the_gravest_reason_is_told_first(self):
        """Mend one thing after another: the reasons come in the order of ``RULES`` and within each rule."""
        token = TOKEN._replace(
            ended=Reason.REVOKED,
            issued_at=NOW + 6,
            expires_at=NOW - 1,
            last_used_at=0,
            role_version=1,
            credential_version=1,
            epoch=1,
        )
        standing = STANDING._replace(
            key_usable=False,
            owner_disabled=True,
            credential_deleted=True,
            credential_disabled=True,
            credential_expires_at=NOW,
            secret_ends_at=NOW,
        )
        mended: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("revoked", {"ended": None}, {}),
            ("key_compromised", {}, {"key_usable": True}),
            ("owner_disabled", {}, {"owner_disabled": False}),
            ("credential_deleted", {}, {"credential_deleted": False}),
            ("credential_disabled", {}, {"credential_disabled": False}),
            ("restored", {"epoch": 2}, {}),
            ("credential_disabled", {"credential_version": 3}, {}),
            ("issued_in_the_future", {"issued_at": NOW - 600}, {}),
            ("expired", {"expires_at": NOW + 3000}, {}),
            ("credential_expired", {}, {"credential_expires_at": NOW + 1}),
            ("secret_ended", {}, {"secret_ends_at": NOW + 1}),
            ("roles_changed", {"role_version": 7}, {}),
            ("idle", {"last_used_at": NOW - 60}, {}),
        ]
        for reason, in_token, in_standing in mended:
            assert decide(token, NOW, standing).reason == reason
            token, standing = token._replace(**in_token), standing._replace(**in_standing)
        assert decide(token, NOW, standing).alive

    @pytest.mark.parametrize(
        ("token", "standing", "border"),
        [
            ({"expires_at": NOW}, {}, NOW),
            ({"issued_at": NOW - 900}, {"max_lifetime": 900}, NOW),
            ({}, {"credential_expires_at": NOW}, NOW),
            ({}, {"secret_ends_at": NOW}, NOW),
            ({"last_used_at": NOW - 1800}, {}, NOW),
        ],
        ids=["exp", "maximum lifetime", "credential expiry", "secret end", "idle timeout"],
    )
    def test_t_173_one_second_before_a_border_it_lives_and_on_it_it_is_dead(self, token, standing, border):
        token, standing = TOKEN._replace(**token), STANDING._replace(**standing)
        results = [decide(token, border + step, standing).alive for step in (-1, 0, 1)]
        assert results == [True, False, False]

    @pytest.mark.parametrize(
        ("ahead", "alive"), [(-1, True), (0, True), (1, True), (4, True), (5, True), (6, False), (3600, False)]
    )
    def test_a_clock_may_step_back_five_seconds_and_no_more(self, ahead, alive):
        """A token issued in the future is one whose clock went backwards; nobody can tell how far."""
        token = TOKEN._replace(issued_at=NOW + ahead, last_used_at=NOW + ahead)
        assert decide(token, NOW, STANDING).alive is alive

    @pytest.mark.parametrize(("since", "alive"), [(-1, True), (0, True), (1, False)])
    def test_inv_05_settings_of_the_past_have_killed(self, since, alive):
        idled = STANDING._replace(used_since=TOKEN.last_used_at + since)
        aged = STANDING._replace(issued_since=TOKEN.issued_at + since)
        assert decide(TOKEN, NOW, idled) == Decision(None if alive else Reason.IDLE)
        assert decide(TOKEN, NOW, aged) == Decision(None if alive else Reason.EXPIRED)

    @patient
    @given(
        age=st.integers(0, 10_000),
        before=st.integers(60, 5_000),
        lag=st.integers(0, USE_TOLERANCE),
    )
    def test_inv_06_what_a_timeout_killed_stays_dead_and_nothing_else_dies(self, age, before, lag):
        """``lag``: how much older than the truth the use is that another node can see."""
        seen = TOKEN._replace(issued_at=NOW - 20_000, last_used_at=NOW - age - lag, expires_at=NOW + 9)
        longer = STANDING._replace(idle_timeout=50_000, max_lifetime=50_000, used_since=used_since(NOW, before))
        if age >= before + USE_TOLERANCE:
            assert decide(seen, NOW, longer).reason is Reason.IDLE
        elif age < before:
            assert decide(seen, NOW, longer).alive

    @patient
    @given(age=st.integers(0, 10_000), before=st.integers(60, 5_000))
    def test_inv_07_what_a_maximum_lifetime_killed_stays_dead_and_nothing_else_dies(self, age, before):
        token = TOKEN._replace(issued_at=NOW - age)
        longer = STANDING._replace(max_lifetime=50_000, issued_since=issued_since(NOW, before))
        assert decide(token, NOW, longer).alive is (age < before)

    def test_t_025_an_oversized_exp_does_not_outlive_the_maximum_lifetime(self):
        token = TOKEN._replace(issued_at=NOW - 3600, expires_at=2**53 - 1, last_used_at=NOW)
        assert decide(token, NOW, STANDING).reason is Reason.EXPIRED

    @pytest.mark.parametrize("key_usable", [True, False])
    def test_t_071_it_lives_only_where_every_threshold_agrees(self, key_usable):
        """Older, equal and newer for role version, credential version and epoch, with a good and a bad key."""
        alive = []
        for role, credential, epoch in product((-1, 0, 1), repeat=3):
            token = TOKEN._replace(role_version=7 + role, credential_version=3 + credential, epoch=2 + epoch)
            if decide(token, NOW, STANDING._replace(key_usable=key_usable)).alive:
                alive.append((role, credential, epoch))
        assert alive == ([(0, 0, 0)] if key_usable else [])

    @patient
    @given(
        reason=st.sampled_from(Reason),
        later=st.integers(-(10**6), 10**6),
        timeout=st.integers(60, 86_400),
        lifetime=st.integers(60, 10**7),
    )
    def test_inv_05_a_recorded_end_is_never_argued_with(self, reason, later, timeout, lifetime):
        standing = STANDING._replace(idle_timeout=timeout, max_lifetime=lifetime)
        assert decide(TOKEN._replace(ended=reason), NOW + later, standing).reason is reason

    @patient
    @given(
        lifetime=st.integers(60, 10**6),
        max_lifetime=st.integers(60, 10**6),
        credential_life=st.integers(0, 10**6),
        secret_life=st.none() | st.integers(0, 10**6),
        age=st.integers(0, 2 * 10**6),
    )
    def test_inv_07_no_token_outlives_the_first_of_its_ends(
        self, lifetime, max_lifetime, credential_life, secret_life, age
    ):
        token = TOKEN._replace(issued_at=NOW, expires_at=NOW + lifetime, last_used_at=NOW + age)
        standing = STANDING._replace(
            max_lifetime=max_lifetime,
            credential_expires_at=NOW + credential_life,
            secret_ends_at=None if secret_life is None else NOW + secret_life,
        )
        ends = [lifetime, max_lifetime, credential_life] + ([] if secret_life is None else [secret_life])
        assert decide(token, NOW + age, standing).alive is (age < min(ends))

    @patient
    @given(picked=st.sets(st.sampled_from(sorted(KILLS))))
    def test_inv_08_any_mixture_of_reasons_kills_and_only_none_leaves_it_alive(self, picked):
        token, standing = TOKEN, STANDING
        for name in sorted(picked):
            token, standing = token._replace(**KILLS[name][0]), standing._replace(**KILLS[name][1])
        # Two "ahead" rows can undo "behind" rows: equal versions are no reason.
        undone = {
            "credential_version": token.credential_version == standing.credential_version,
            "epoch": token.epoch == standing.epoch,
            "role_version": token.role_version == standing.role_version,
        }
        reasons = {name for name in picked if not any(undone[key] for key in undone if _touches(name, key))}
        assert decide(token, NOW, standing).alive is not bool(reasons)


def _touches(name, key):
    token, standing, _ = KILLS[name]
    return key in token or key in standing


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


# CRC-32/ISO-HDLC of the text, its base62 digits as numbers, and how they are spelt.
KNOWN_CHECKSUMS = {
    "": "000000",
    "123456789": "3jZRME",  # the check value 0xCBF43926 = 3421780262: 3 45 35 27 22 14
    "a": "4GEHKN",  # 0xE8B7BE43 = 3904355907: 4 16 14 17 20 23
    "abc": "0yKviM",  # 0x352441C2 = 891568578: 0 60 20 57 44 22, padded with one zero
    "62": "005Arq",  # 0x0012D20A = 1233418: 0 0 5 10 53 52, padded with two
}
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def whole(body, prefix="acs"):
    """Make a secret as PRODUCT.md 2.3 words it, without the code under test."""
    text = f"{prefix}_{body}"
    number, tail = zlib.crc32(text.encode()), ""
    for _ in range(6):
        tail = DIGITS[number % 62] + tail
        number //= 62
    return text + tail


SECRET = whole("Zk3vQ9wLm2Xr8TnB5yHc1DfJ7gPsV4aEuW6iKoR0")


class TestSecretFormat:
    @pytest.mark.parametrize(("text", "expected"), KNOWN_CHECKSUMS.items())
    def test_checksums_worked_out_by_hand(self, text, expected):
        assert checksum(text) == expected

    @patient
    @given(st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=32)))
    def test_a_checksum_is_six_base62_digits_of_crc_32(self, text):
        told = checksum(text)
        assert len(told) == 6
        assert sum(DIGITS.index(digit) * 62**place for place, digit in enumerate(reversed(told))) == zlib.crc32(
            text.encode()
        )

    def test_the_alphabet_is_digits_then_capitals_then_small_letters(self):
        assert ALPHABET == DIGITS

    def test_a_secret_is_acs_and_40_random_and_6_check_characters(self):
        made = mint("acs", secrets.choice)
        assert re.fullmatch(r"acs_[0-9A-Za-z]{46}", made)
        assert made == whole(made[4:44])
        assert well_formed(made)

    def test_every_random_character_is_drawn_from_the_whole_alphabet(self):
        drawn = []

        def draw(choices):
            drawn.append(choices)
            return "x"

        assert mint("acs", draw) == whole("x" * 40)
        assert drawn == [DIGITS] * 40

    def test_a_whole_secret_is_well_formed(self):
        assert well_formed(SECRET)
        assert well_formed(whole("0" * 40, "acv"), "acv")

    def test_the_prefix_tells_what_a_secret_is_for(self):
        assert not well_formed(SECRET, "acv")
        assert not well_formed(whole("0" * 40, "acv"))
        assert not well_formed(whole("0" * 40, "xyz"))

    @pytest.mark.parametrize(
        "spoilt",
        [
            "",
            "acs_",
            SECRET + "0",
            "0" + SECRET,
            SECRET + "\n",
            " " + SECRET,
            SECRET + " ",
            "\ufeff" + SECRET,
            SECRET.lower(),
            SECRET.upper(),
            SECRET.swapcase(),
            "ACS" + SECRET[3:],
            SECRET.replace("_", "-"),
            SECRET.replace("_", ""),
            SECRET.replace("0", "O"),
            SECRET.replace("Z", "\uff3a"),
            SECRET.replace("3", "\u0663"),
            SECRET + SECRET,
            SECRET[:49] + "\x00",
            SECRET + "x" * 72,
            (SECRET + "x" * 72)[:72],
            whole("Zk3vQ9wLm2Xr8TnB5yHc1DfJ7gPsV4aEuW6iKoR"),
            whole("Zk3vQ9wLm2Xr8TnB5yHc1DfJ7gPsV4aEuW6iKoR00"),
            whole("-" * 40),
            SECRET[:44] + "000000",
            "\ud800" * 50,
        ],
    )
    def test_t_037_a_spoilt_secret_is_refused(self, spoilt):
        assert not well_formed(spoilt)

    def test_t_037_every_truncation_is_refused(self):
        assert not any(well_formed(SECRET[:size]) for size in range(len(SECRET)))
        assert not any(well_formed(SECRET[size:]) for size in range(1, len(SECRET)))

    def test_every_single_typing_error_is_noticed(self):
        for place in range(4, len(SECRET)):
            for char in DIGITS:
                typed = SECRET[:place] + char + SECRET[place + 1 :]
                assert well_formed(typed) is (typed == SECRET)

    def test_t_061_ten_thousand_secrets_never_repeat_and_use_every_character(self):
        made = {mint("acs", secrets.choice) for _ in range(10_000)}
        assert len(made) == 10_000
        for place in range(4, 44):
            assert {secret[place] for secret in made} == set(DIGITS)

    def test_a_list_shows_the_prefix_and_four_characters(self):
        assert hint(SECRET) == "acs_Zk3v"
        assert hint(whole("0" * 40, "acv")) == "acv_0000"

    def test_inv_10_at_most_two_secrets_live_and_an_overlap_is_now_an_hour_a_day_or_a_week(self):
        assert MAX_LIVE_SECRETS == 2
        assert OVERLAPS == (0, 3_600, 86_400, 604_800)

    def test_the_keyed_hash_is_hmac_sha_256(self):
        # RFC 4231 §4.3, test case 2.
        told = keyed_hash(b"Jefe", "what do ya want for nothing?")
        assert told.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    def test_the_keyed_hash_takes_any_text(self):
        spelt = ["", "\x00", "é", "e\u0301", "\ud800", "a" * 100_000]
        assert len({keyed_hash(b"k", text) for text in spelt}) == len(spelt)

    @patient
    @given(st.text())
    def test_any_text_at_all_gets_an_answer(self, text):
        assert well_formed(text) is False


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


START = SessionStart(
    jti="Zk3vQ9wLm2Xr8TnB5yHc1DfJ",
    client_id="2f7d1c0e-0a1b-4bbb-8ccc-123456789abc",
    secret_id="sec_1",
    kid="key-1",
    audience="https://api.example.com",
    roles="reader writer",
    role_version=7,
    credential_version=3,
    epoch=2,
    issued_at=NOW,
    expires_at=NOW + 3600,
)
ISSUER = "https://auth.example.com"
OWNER = "usr_ada"
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


def made():
    return claims_of(START, issuer=ISSUER, owner_id=OWNER)


def place(claims, path):
    """The dictionary that holds the member at ``path``."""
    for name in path[:-1]:
        claims = claims[name]
    return claims


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
