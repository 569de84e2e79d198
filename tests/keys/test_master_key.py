"""The master key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.master import MasterKey, WrongMasterKey
from tests.keys.support import MASTER, patient


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
