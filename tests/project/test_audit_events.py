"""The vocabulary of audit events: every event that the code can write is in it, and its page is current."""

import ast
import re

from authserver.audit_export.reference import PAGE, renewed
from authserver.audit_export.vocabulary import EVENTS, REFUSING, VERSION
from authserver.instrumentation import _KINDS as ENDPOINTS
from tests.support.processes import ROOT

NAME = re.compile(r"[a-z_]+\.[a-z_]+")
NEVER_REFUSE = {"jwks"}
"""Public documents: they answer everybody."""


def passed_in(tree):
    """Texts in the form of a name that a call passes: an event's name goes to ``Event`` through a function, too."""
    for node in ast.walk(tree):
        for given in node.args if isinstance(node, ast.Call) else ():
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and NAME.fullmatch(given.value):
                yield given.value


def written():
    """Every event name in the code with the file it is in."""
    nouns = {name.partition(".")[0] for name in EVENTS}
    for folder in ("authserver", "keys"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "Event(" not in text or path.parent.name == "audit_export":
                continue
            tree = ast.parse(text)
            direct = {
                node.args[0].value
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and ast.unparse(node.func) == "Event"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            }
            passed = {name for name in passed_in(tree) if name.partition(".")[0] in nouns}
            for name in direct | passed:
                yield name, path.relative_to(ROOT)


def test_every_event_in_the_code_is_in_the_vocabulary():
    found = set(written())
    assert len({name for name, _ in found}) > 40
    unknown = sorted((name, str(path)) for name, path in found if name not in EVENTS)
    assert not unknown, "add it to authserver/audit_export/vocabulary.py, with VERSION as `since`; then `make docs`"


def test_every_event_of_the_vocabulary_is_in_the_code():
    refusals = {f"{endpoint}.refused" for endpoint in REFUSING}
    assert set(EVENTS) - {name for name, _ in written()} <= refusals


def test_every_endpoint_that_can_refuse_is_in_the_vocabulary():
    assert set(ENDPOINTS.values()) - NEVER_REFUSE | {"console"} == set(REFUSING)


def test_an_event_is_no_newer_than_the_vocabulary():
    assert all(1 <= event.since <= VERSION for event in EVENTS.values())
    assert max(event.since for event in EVENTS.values()) == VERSION


def test_the_page_is_current():
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "make docs"
    assert all(f"| `{name}` |" in page for name in EVENTS)
