"""What is due, at which second: the rotation plan as tables, its invariants as properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.keyring import KeyInfo, State
from keys.rotation import (
    DAY,
    SKEW,
    Generate,
    Policy,
    Promote,
    Withdraw,
    apply,
    forecast,
    may_sign_from,
    plan,
    published_until,
)

HOUR = 3600
POLICY = Policy(("ES256",), announcement=DAY, period=30 * DAY, patience=7 * DAY)
S, A, R, C = State.STAGED, State.ACTIVE, State.RETIRED, State.COMPROMISED


def key(kid, state, at, *, alg="ES256", life=12 * HOUR):
    return KeyInfo(
        kid,
        alg,
        state,
        "{}",
        created_at=at - DAY if state is not S else at,
        activated_at=at if state in {A, R} else None,
        retired_at=at if state is R else None,
        token_life=life,
    )


CASES = {
    "nothing at all": ([], 0, (Generate("ES256"),)),
    "nobody signs, a young key waits: it signs at once": ([key("n", S, 0)], 1, (Promote("n"),)),
    "nobody signs, two wait: the older one": ([key("m", S, 5), key("n", S, 0)], 6, (Promote("n"),)),
    "the active one is fresh": ([key("a", A, 0)], 28 * DAY, ()),
    "one second before the next is made": ([key("a", A, 0)], 29 * DAY - 1, ()),
    "the next is made": ([key("a", A, 0)], 29 * DAY, (Generate("ES256"),)),
    "the next is too fresh to sign": ([key("a", A, 0), key("n", S, 29 * DAY + 5)], 30 * DAY + 4, ()),
    "its turn": ([key("a", A, 0), key("n", S, 29 * DAY)], 30 * DAY, (Promote("n"),)),
    "it was made early and waits for its turn": ([key("a", A, 0), key("n", S, 3 * DAY)], 30 * DAY - 1, ()),
    "the active one was compromised": ([key("x", C, 0), key("n", S, 0)], 9, (Promote("n"),)),
    "a retired key verifies still": ([key("a", A, 0), key("r", R, 0)], 12 * HOUR + SKEW - 1, ()),
    "its last token has ended": ([key("a", A, 0), key("r", R, 0)], 12 * HOUR + SKEW, (Withdraw("r"),)),
    "an algorithm nobody uses is left alone": ([key("a", A, 0), key("b", A, 0, alg="RS256")], DAY, ()),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name):
    ring, now, expected = CASES[name]
    assert plan(ring, now, POLICY) == expected


def test_without_a_period_nothing_rotates_by_itself():
    policy = Policy(("ES256",), period=None)
    assert plan([key("a", A, 0), key("n", S, 0)], 9999 * DAY, policy) == ()


def test_a_verifier_that_has_not_seen_the_key_holds_it_back_until_the_deadline():
    ring = [key("a", A, 0), key("n", S, 29 * DAY)]
    assert plan(ring, 37 * DAY - 1, POLICY, lambda key: False) == ()
    assert plan(ring, 37 * DAY, POLICY, lambda key: False) == (Promote("n"),)


def test_each_algorithm_in_use_turns_by_itself():
    policy = Policy(("ES256", "RS256"), period=30 * DAY)
    assert plan([key("a", A, 0)], DAY, policy) == (Generate("RS256"),)


def test_two_years_ahead():
    due = forecast([key("a", A, 0)], DAY, POLICY, 100 * DAY)
    assert due == (
        (29 * DAY, Generate("ES256")),
        (30 * DAY, Promote("next ES256")),
        (30 * DAY + 12 * HOUR + SKEW, Withdraw("a")),
        (59 * DAY, Generate("ES256")),
        (60 * DAY, Promote("next ES256 2")),
        (60 * DAY + 12 * HOUR + SKEW, Withdraw("next ES256")),
        (89 * DAY, Generate("ES256")),
        (90 * DAY, Promote("next ES256 3")),
        (90 * DAY + 12 * HOUR + SKEW, Withdraw("next ES256 2")),
    )


@given(
    gaps=st.lists(st.integers(6 * HOUR, 3 * DAY), min_size=60, max_size=90),
    period=st.integers(3, 12),
    announcement=st.integers(HOUR, 2 * DAY),
)
def test_INV_13_and_14_hold_however_irregularly_it_is_asked(gaps, period, announcement):
    policy = Policy(("ES256",), announcement=announcement, period=period * DAY)
    ring, now, signed, published = [], 0, {}, {}
    for number, gap in enumerate(gaps):
        now += gap
        for step in plan(ring, now, policy):
            bootstrap = not any(each.state is A for each in ring)
            if isinstance(step, Generate):
                ring.append(KeyInfo(f"k{number}", "ES256", S, "{}", created_at=now, token_life=12 * HOUR))
                published[f"k{number}"] = now
            else:
                if isinstance(step, Promote):
                    assert bootstrap or now >= published[step.kid] + announcement
                else:
                    assert now >= signed[step.kid] + 12 * HOUR
                for each in ring:
                    if each.state is A:
                        signed[each.kid] = now  # it may have signed until this very second
                ring = apply(ring, step, now)
        active = [each.kid for each in ring if each.state is A]
        assert len(active) <= 1
    assert len(signed) >= 2, "the run must be long enough to rotate"


def test_a_key_stays_published_until_its_last_token_has_ended():
    assert published_until(key("r", R, 1000, life=500)) == 1000 + 500 + SKEW
    assert may_sign_from(key("n", S, 1000), POLICY) == 1000 + DAY
