"""Writes ``docs/conformance.md``: which test proves which requirement, by the ids that tests carry in their names.

``make docs`` writes it, ``tests/project/test_project_rules.py`` compares it, so a test that goes is missed.
"""

import ast
import re
import sys
from collections import defaultdict

from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "conformance.md"

_ID = re.compile(r"(?<![A-Za-z0-9])(INV|[TJIRMKVX])_?(\d{2,3})(?=_|$)", re.IGNORECASE)


def _all(letter, last):
    return [f"{letter}-{number:02}" for number in range(1, last + 1)]


def _is_wrong(*spans):
    return [f"T-{number:03}" for first, last in spans for number in range(first, last + 1, 2)]


PARTS = {
    "Token endpoint (RFC 6749, 7617, 9110)": _all("T", 30),
    "Access tokens (RFC 9068, 7519)": _all("J", 18),
    "What a verifier refuses (RFC 8725)": _all("V", 17),
    "Introspection (RFC 7662, 9701)": _all("I", 16),
    "Revocation (RFC 7009)": _all("R", 8),
    "Metadata (RFC 8414)": _all("M", 9),
    "Keys (RFC 7517, 7638)": _all("K", 8),
    "Mutual TLS (RFC 8705)": _all("X", 3),
    "Attacks": _is_wrong((1, 83), (121, 133), (149, 189)),
    "Invariants": [f"INV-{number:02}" for number in (*range(1, 13), 18, 20, 21, 22, 25, *range(27, 33))],
}

NOT_OFFERED = {
    "I-13": "a token is for one resource server only (J-17); its scope is what that one gets",
}


def tests():
    """Where each id is carried: ids to names of tests."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").glob("**/test_*.py")):
        name = path.relative_to(ROOT / "tests").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                carried = _ids(re.sub("(?<=[a-z])(?=[0-9])", "_", node.name.removeprefix("Test")))
                for test in node.body:
                    if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                        for each in carried:
                            found[each].append(f"{name}::{node.name}::{test.name}")
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for each in _ids(node.name):
                    found[each].append(f"{name}::{node.name}")
    return found


def _ids(name):
    # "inv_01_to_12" and "inv_21_22" carry more than their first number.
    name = re.sub(
        r"(?i)\binv_(\d\d)_to_(\d\d)",
        lambda span: "_".join(f"INV_{number:02}" for number in range(int(span[1]), int(span[2]) + 1)),
        name.removeprefix("test_"),
    )
    name = re.sub(r"(?i)\b(inv_\d\d)_(?:and_)?(\d\d)(?=_)", r"\1_INV_\2", name)
    return sorted({f"{letter.upper()}-{number}" for letter, number in _ID.findall(name)})


def missing():
    """Requirements that no test carries."""
    carried = tests()
    return [each for ids in PARTS.values() for each in ids if each not in carried and each not in NOT_OFFERED]


def page():
    """The whole page."""
    carried = tests()
    lines = [
        "# Which test proves what",
        "",
        "Made by `make docs` from the names of the tests; do not edit. An id is a row of the checklists this server is",
        "built to: two digits for what a standard asks, three for a published attack, `INV` for an invariant.",
    ]
    for part, ids in PARTS.items():
        lines += ["", f"## {part}", "", "| id | tests |", "|---|---|"]
        lines += [f"| {each} | {_shown(each, carried)} |" for each in ids if each in carried or each in NOT_OFFERED]
    return "\n".join(lines) + "\n"


def _shown(each, carried):
    if each in carried:
        return ", ".join(f"`{test}`" for test in dict.fromkeys(carried[each]))
    return NOT_OFFERED[each]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n{' '.join(missing())}\n")
