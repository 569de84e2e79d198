"""``docs/console.md`` tells the truth about the console."""

import re

from authserver.ports import TRIES_FORGOTTEN
from authserver.rules import password, permission, signed_in
from authserver.web.console import patience
from authserver.web.console.pages import PARTS
from authserver.web.console.words import LANGUAGES
from tests.test_docs import page


def test_permissions_are_the_ones_in_the_code():
    told = re.findall(r"^\| `([a-z-]+:[a-z]+)` \|", page("docs/console.md"), re.MULTILINE)
    assert sorted(told) == sorted(permission.PERMISSIONS)
    assert {part.permission for part in PARTS} - {""} <= set(told)


def test_numbers_are_the_ones_in_the_code():
    text = re.sub(r"\s+", " ", page("docs/console.md"))
    for said in (
        f"have {password.MIN_PASSWORD} to {password.MAX_PASSWORD} characters",
        f"after {patience.FREE} wrong passwords",
        f"at most {patience.LONGEST} seconds",
        f"fails {patience.MANY_OF_NAME} times",
        f"an address that fails {patience.FREE_OF_ADDRESS} times",
        f"once and within {signed_in.LINK_LIFE // 60} minutes",
        f"{signed_in.IDLE // 60} minutes after the last request",
        f"{signed_in.ABSOLUTE // 3600} hours after it began",
        f"older than {signed_in.RECENT // 60} minutes",
        f"when it is older than {signed_in.JUST_NOW // 60}.",
        *LANGUAGES.values(),
    ):
        assert said in text, said
    assert TRIES_FORGOTTEN == 15 * 60
    assert patience.FREE_UNDER_ATTACK == 1
