"""The facts of a token, idleness, versions, and what of them kills it."""

import re
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.rules import liveness
from authserver.rules.facts import Decision, Reason, Standing, Token, over
from authserver.rules.idle import USE_TOLERANCE, idle_end, unused_too_long, used_since
from authserver.rules.lifetime import issued_since
from authserver.rules.liveness import decide
from authserver.rules.role_version import credential_was_switched, restored, roles_changed
from tests.rules.support import NOW, patient

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
