"""What a local password may be: long, and not one that everybody tries first (NIST SP 800-63B §3.1.1).

There are no rules of composition: they make passwords worse. What is refused is
what guessing programs begin with, also in its usual disguises ("P@ssw0rd2024!").
"""

import re
import unicodedata
from itertools import pairwise

MIN_PASSWORD = 12
MAX_PASSWORD = 128

_MIN_DISTINCT = 5
_MIN_RUN = 8
_MIN_USERNAME = 4
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_DECORATION = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_REPEATED = re.compile(r"(.+?)\1+")
_ROWS = (
    "qwertyuiop",
    "asdfghjkl",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb",
    "abcdefghijklmnopqrst",
)
_COMMON_WORDS = (
    "abc access account admin administrator adminadmin authserver baseball basketball batman changeit "
    "changeme charlie company computer correcthorsebatterystaple default demo dragon enter football "
    "freedom friends guest hello helloworld iloveyou iloveyouforever internet jordan letmein letmeinnow "
    "liverpool login loveyou manager master mercedes michael monkey mustang mypassword mypass nothing "
    "oauth operator passphrase passw password passwordpassword passwort passwortpasswort pokemon princess "
    "private qwerty root samsung secret secretsecret server shadow soccer starwars summer sunshine "
    "superman superuser supersecret sysadmin system temp temporary test testing testtest thisisapassword "
    "thisismypassword topsecret trustno unknown user username welcome welcometo whatever winter autumn "
    "spring january february march april june july august september october november december monday "
)
_COMMON = frozenset(_COMMON_WORDS.split())


def password_fault(password: str, username: str) -> str | None:
    """Say what is wrong with a password, or None; the text never holds any of it."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; several words in a row are good"
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in password):
        return "a password holds no control characters"
    folded = unicodedata.normalize("NFKC", password).casefold()
    if len(username) >= _MIN_USERNAME and username.casefold() in folded:
        return "a password does not hold the user name"
    if len(set(folded)) < _MIN_DISTINCT or _runs(folded) or _well_known(folded):
        return "that password is among the first that are guessed; choose another"
    return None


def _runs(folded: str) -> bool:
    """Whether it is mostly one run along the digits, the alphabet or a keyboard."""
    steps = sum((ord(after) - ord(before)) % 10 in {1, 9} for before, after in pairwise(folded))
    if folded.isdigit() and steps >= len(folded) - 2:
        return True
    return any(row[:size] in folded for row in _ROWS for size in [max(_MIN_RUN, len(folded) - 4)] if size <= len(row))


def _well_known(folded: str) -> bool:
    for text in (folded, _DECORATION.sub("", folded)):
        plain = re.sub(r"[\W_]+", "", text.translate(_LEET))
        repeated = _REPEATED.fullmatch(plain)
        if {plain, _DECORATION.sub("", plain), repeated[1] if repeated else plain} & _COMMON:
            return True
    return False
