"""``docs/console.md`` tells the truth about the console."""

import re

from authserver.console.frame.layout import NAVIGATION
from authserver.console.i18n.messages import LANGUAGES
from authserver.console.sign_in import login_throttle
from authserver.ports.sign_in import ATTEMPTS_FORGOTTEN
from authserver.rules import password, permission
from authserver.rules import sign_in as sign_in_rules
from tests.project.test_docs import page


def test_permissions_are_the_ones_in_the_code():
    told = re.findall(r"^\| `([a-z-]+:[a-z]+)` \|", page("docs/console.md"), re.MULTILINE)
    assert sorted(told) == sorted(permission.PERMISSIONS)
    assert {part.permission for part in NAVIGATION} - {""} <= set(told)


def test_numbers_are_the_ones_in_the_code():
    text = re.sub(r"\s+", " ", page("docs/console.md"))
    for said in (
        f"have {password.MIN_PASSWORD} to {password.MAX_PASSWORD} characters",
        f"after {login_throttle.FREE_ATTEMPTS} wrong passwords",
        f"at most {login_throttle.MAX_WAIT} seconds",
        f"fails {login_throttle.NAME_UNDER_ATTACK_FAILURES} times",
        f"an address that fails {login_throttle.FREE_ATTEMPTS_PER_ADDRESS} times",
        f"once and within {sign_in_rules.LINK_LIFE // 60} minutes",
        f"{sign_in_rules.IDLE // 60} minutes after the last request",
        f"{sign_in_rules.ABSOLUTE // 3600} hours after it began",
        f"older than {sign_in_rules.RECENT // 60} minutes",
        f"when it is older than {sign_in_rules.JUST_NOW // 60}.",
        *LANGUAGES.values(),
    ):
        assert said in text, said
    assert ATTEMPTS_FORGOTTEN == 15 * 60
    assert login_throttle.FREE_ATTEMPTS_UNDER_ATTACK == 1
