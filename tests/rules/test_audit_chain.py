"""The audit chain: whatever is altered, dropped, added or reordered, ``verify`` names the first bad record (INV-19)."""

import hashlib
import hmac
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authserver.audit import GENESIS, Event, Record, Verdict, canonical, seal, seal_head, verify

patient = settings(deadline=None)

KEY = b"k" * 32
OTHER_KEY = b"o" * 32


def chain(length, key=KEY):
    """A sound chain, made record by record."""
    records, previous = [], GENESIS
    for seq in range(1, length + 1):
        values: dict[str, Any] = {
            "seq": seq,
            "at": 1_800_000_000 + seq // 3,
            "actor": f"usr_{seq % 2}",
            "event": "role.created",
            "target": f"role_{seq}",
            "detail": canonical({"number": seq}),
        }
        own = seal(key, **values, previous=previous)
        records.append(Record(**values, previous_hash=previous, hash=own))
        previous = own
    return records


def head(records, key=KEY):
    last = records[-1].hash if records else GENESIS
    return len(records), last, seal_head(key, len(records), last)


def judge(records, sealed_head):
    return verify(KEY, iter(records), *sealed_head)


lengths = st.integers(1, 8)


class TestASoundChain:
    @pytest.mark.parametrize("length", [0, 1, 2, 30])
    def test_holds(self, length):
        records = chain(length)
        assert judge(records, head(records)) == Verdict(records=length, first_bad=None, fault="")

    def test_begins_with_64_zeros(self):
        assert chain(1)[0].previous_hash == "0" * 64

    def test_is_spelt_like_this_for_ever(self):
        """A change of the spelling would break every chain that was ever written."""
        text = (
            '["audit-record", 7, 1800000000, "usr_1", "role.created", "role_\\u00e9", "{\\"a\\":1}", "'
            + "ab" * 32
            + '"]'
        )
        told = seal(
            KEY,
            seq=7,
            at=1_800_000_000,
            actor="usr_1",
            event="role.created",
            target="role_é",
            detail='{"a":1}',
            previous="ab" * 32,
        )
        assert told == hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
        text = '["audit-head", 7, "' + "ab" * 32 + '"]'
        assert seal_head(KEY, 7, "ab" * 32) == hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()

    def test_no_two_records_are_spelt_alike(self):
        """Moving a character from one member to the next makes another hash."""
        rest: dict[str, Any] = {"seq": 1, "at": 1, "previous": GENESIS}
        spelt = [
            seal(KEY, **rest, actor=actor, event=event, target=target, detail=detail)
            for actor, event, target, detail in [
                ("ab", "c", "d", "e"),
                ("a", "bc", "d", "e"),
                ("a", "b", "cd", "e"),
                ("a", "b", "c", "de"),
                ('a","b', "c", "d", "e"),
                ("a", "b", "c", ""),
            ]
        ]
        assert len(set(spelt)) == len(spelt)

    def test_a_head_is_no_record(self):
        assert seal_head(KEY, 1, GENESIS) != chain(1)[0].hash


class TestInv19:
    """Each way to tamper, and the record that must be named; worked out by place, not by the code's own steps."""

    @patient
    @given(length=lengths, data=st.data())
    def test_an_altered_member_names_its_record(self, length, data):
        records = chain(length)
        at = data.draw(st.integers(1, length))
        member = data.draw(st.sampled_from([each.name for each in fields(Record)]))
        right = getattr(records[at - 1], member)
        kind = st.integers() if isinstance(right, int) else st.text(max_size=70)
        wrong = data.draw(kind.filter(lambda value: value != right))
        spoilt = [*records[: at - 1], replace(records[at - 1], **{member: wrong}), *records[at:]]
        verdict = judge(spoilt, head(records))
        assert (verdict.records, verdict.first_bad) == (at - 1, at)
        assert verdict.fault

    @pytest.mark.parametrize("wrong", [None, b"role_2", 1.5, True, "é" * 64, "\ud800", ["role_2"], ""])
    @pytest.mark.parametrize("member", [each.name for each in fields(Record)])
    def test_a_member_of_another_type_names_its_record(self, member, wrong):
        """SQLite keeps any type in any column."""
        records = chain(3)
        spoilt = [records[0], replace(records[1], **{member: wrong}), records[2]]
        verdict = judge(spoilt, head(records))
        assert (verdict.records, verdict.first_bad) == (1, 2)

    @patient
    @given(length=lengths, data=st.data())
    def test_a_record_altered_and_sealed_with_another_key_is_named(self, length, data):
        records = chain(length)
        at = data.draw(st.integers(1, length))
        old = records[at - 1]
        forged = replace(
            old,
            actor="nobody",
            hash=seal(
                OTHER_KEY,
                seq=old.seq,
                at=old.at,
                actor="nobody",
                event=old.event,
                target=old.target,
                detail=old.detail,
                previous=old.previous_hash,
            ),
        )
        assert judge([*records[: at - 1], forged, *records[at:]], head(records)).first_bad == at

    @patient
    @given(length=lengths, data=st.data())
    def test_a_dropped_record_is_the_one_named(self, length, data):
        records = chain(length)
        at = data.draw(st.integers(1, length))
        verdict = judge(records[: at - 1] + records[at:], head(records))
        assert verdict == Verdict(at - 1, at, f"record {at} is missing")

    @patient
    @given(length=lengths, data=st.data())
    def test_a_cut_tail_names_the_first_record_that_is_gone(self, length, data):
        records = chain(length)
        kept = data.draw(st.integers(0, length - 1))
        assert judge(records[:kept], head(records)) == Verdict(kept, kept + 1, f"record {kept + 1} is missing")

    @patient
    @given(length=lengths, data=st.data())
    def test_a_tail_cut_together_with_its_head_needs_the_key(self, length, data):
        records = chain(length)
        kept = data.draw(st.integers(0, length - 1))
        seq, last, _ = head(records[:kept])
        for old_seal in (head(records)[2], seal_head(OTHER_KEY, seq, last), ""):
            verdict = judge(records[:kept], (seq, last, old_seal))
            assert (verdict.first_bad, verdict.fault) == (kept, "the seal of the head was altered")

    @patient
    @given(length=lengths, data=st.data())
    def test_a_record_put_in_twice_is_named_where_it_does_not_belong(self, length, data):
        records = chain(length)
        which = data.draw(st.integers(1, length))
        place = data.draw(st.integers(1, length + 1))
        spoilt = [*records[: place - 1], records[which - 1], *records[place - 1 :]]
        # A copy right before the original looks like the original; then the original is the one too many.
        assert judge(spoilt, head(records)).first_bad == (place + 1 if place == which else place)

    @patient
    @given(length=st.integers(2, 8), data=st.data())
    def test_of_two_swapped_records_the_first_place_is_named(self, length, data):
        records = chain(length)
        one, two = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=2, max_size=2)))
        swapped = list(records)
        swapped[one], swapped[two] = records[two], records[one]
        assert judge(swapped, head(records)).first_bad == one + 1

    @patient
    @given(length=st.integers(2, 8), data=st.data())
    def test_two_records_that_swap_their_contents_but_not_their_numbers_are_named(self, length, data):
        records = chain(length)
        one, two = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=2, max_size=2)))
        swapped = list(records)
        swapped[one] = replace(records[one], target=records[two].target, detail=records[two].detail)
        swapped[two] = replace(records[two], target=records[one].target, detail=records[one].detail)
        assert judge(swapped, head(records)).first_bad == one + 1

    @patient
    @given(length=st.integers(0, 8), more=st.integers(1, 3))
    def test_an_appended_record_is_named_even_with_a_good_seal(self, length, more):
        longer = chain(length + more)
        verdict = judge(longer, head(longer[:length]))
        assert verdict == Verdict(length, length + 1, "is newer than the sealed head of the chain")

    @patient
    @given(length=st.integers(0, 8))
    def test_an_appended_forgery_is_named(self, length):
        records, longer = chain(length), chain(length + 1, OTHER_KEY)
        last = records[-1].hash if records else GENESIS
        forged = replace(longer[-1], previous_hash=last)
        assert judge([*records, forged], head(records)) == Verdict(length, length + 1, "was altered")

    @patient
    @given(length=st.integers(0, 8), told=st.integers(0, 20))
    def test_a_head_that_tells_another_length_is_named(self, length, told):
        records = chain(length)
        _, last, good_seal = head(records)
        verdict = judge(records, (told, last, good_seal))
        if told == length:
            assert verdict == Verdict(length)
        else:
            assert verdict.first_bad == min(told, length) + 1

    @pytest.mark.parametrize("length", [0, 1, 5])
    @pytest.mark.parametrize("wrong", ["", "0" * 63, "f" * 64, "é", "\ud800"])
    def test_an_altered_head_names_the_last_record(self, length, wrong):
        records = chain(length)
        seq, last, good_seal = head(records)
        assert judge(records, (seq, wrong, good_seal)) == Verdict(length, length, "the head names another last record")
        assert judge(records, (seq, last, wrong)) == Verdict(length, length, "the seal of the head was altered")

    def test_a_chain_written_anew_without_the_key_fails_from_its_first_record(self):
        records = chain(5, OTHER_KEY)
        assert judge(records, head(records, OTHER_KEY)).first_bad == 1

    def test_the_wrong_key_fails_from_the_first_record(self):
        records = chain(5)
        assert verify(OTHER_KEY, records, *head(records)).first_bad == 1

    def test_a_record_of_another_chain_with_the_same_number_is_named(self):
        """The same key in two databases: what was true there was never said here."""
        here, there = chain(4), chain(3)
        elsewhere = replace(there[2], target="role_x")
        elsewhere = replace(
            elsewhere,
            previous_hash="ab" * 32,
            hash=seal(
                KEY,
                seq=3,
                at=elsewhere.at,
                actor=elsewhere.actor,
                event=elsewhere.event,
                target="role_x",
                detail=elsewhere.detail,
                previous="ab" * 32,
            ),
        )
        for spoilt in (elsewhere, replace(elsewhere, previous_hash=here[2].previous_hash)):
            assert judge([here[0], here[1], spoilt, here[3]], head(here)).first_bad == 3

    def test_the_walk_stops_at_the_first_bad_record(self):
        records = chain(5)

        def read():
            yield records[0]
            yield records[2]
            raise AssertionError

        assert verify(KEY, read(), *head(records)).first_bad == 2


# T-177: what an attacker would write into a field that is listed later.
HOSTILE = [
    "line\nend",
    "CR\rLF\r\n",
    "\u2028 and \u2029 and \x85",
    "\x1b[31mred\x1b[0m",
    '","level":"info',
    '"}\n{"event":"forged',
    "\u202edesrever",
    "\x00",
    "\ud800",
    "\\",
    "é",
    "\U0001f916",
]


class TestInv20:
    @pytest.mark.parametrize("text", HOSTILE)
    @pytest.mark.parametrize("where", ["value", "name", "inside"])
    def test_t_177_a_detail_is_one_plain_line_whatever_is_in_it(self, text, where):
        detail = {"value": {"x": text}, "name": {text: 1}, "inside": {"x": [{"y": [text]}]}}[where]
        told = canonical(detail)
        assert told.isascii()
        assert told.isprintable()
        assert json.loads(told) == detail

    def test_one_value_has_one_spelling(self):
        assert canonical({"b": 1, "a": {"d": [1, 2], "c": None}}) == '{"a":{"c":null,"d":[1,2]},"b":1}'
        assert canonical({"a": {"c": None, "d": (1, 2)}, "b": 1}) == '{"a":{"c":null,"d":[1,2]},"b":1}'
        assert canonical({}) == "{}"

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), b"bytes", {1, 2}, object()])
    def test_what_is_no_json_is_never_written(self, wrong):
        with pytest.raises((TypeError, ValueError)):
            canonical({"x": wrong})

    @patient
    @given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
    def test_every_detail_is_read_back(self, detail):
        text = canonical(detail)
        assert json.loads(text) == detail
        assert text == canonical(dict(reversed(detail.items())))
        assert text.isascii()
        assert text.isprintable()

    def test_an_event_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            Event("role.created", "usr_1", "role_1").name = "role.deleted"
