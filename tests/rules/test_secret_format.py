"""The format of secrets."""

import re
import secrets
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.rules.support import DIGITS, patient, whole

# CRC-32/ISO-HDLC of the text, its base62 digits as numbers, and how they are spelt.
KNOWN_CHECKSUMS = {
    "": "000000",
    "123456789": "3jZRME",  # the check value 0xCBF43926 = 3421780262: 3 45 35 27 22 14
    "a": "4GEHKN",  # 0xE8B7BE43 = 3904355907: 4 16 14 17 20 23
    "abc": "0yKviM",  # 0x352441C2 = 891568578: 0 60 20 57 44 22, padded with one zero
    "62": "005Arq",  # 0x0012D20A = 1233418: 0 0 5 10 53 52, padded with two
}
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
