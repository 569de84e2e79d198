"""Writes the vocabulary of ``docs/audit-events.md`` from ``vocabulary``: ``make docs``.

``tests/project/test_audit_events.py`` compares the page with the code.
"""

import sys
from pathlib import Path

from authserver.audit_export.vocabulary import EVENTS, EVERYWHERE, VERSION

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit-events.md"
BEGIN = "<!-- vocabulary: made by `python -m authserver.audit_export.reference` -->"
END = "<!-- end of vocabulary -->"


def reference() -> str:
    """The section between ``BEGIN`` and ``END``."""
    parts = [BEGIN, "", f"Version {VERSION} of the vocabulary has {len(EVENTS)} events.", ""]
    parts += ["Any event may have these members in its `detail`:", "", "| member | holds |", "|---|---|"]
    parts += [f"| `{name}` | {text} |" for name, text in EVERYWHERE.items()]
    parts += ["", "| event | since | what happened | `target` | own members of `detail` |", "|---|---|---|---|---|"]
    for name, event in sorted(EVENTS.items()):
        members = "; ".join(f"`{member}`: {text}" for member, text in event.members.items()) or "none"
        parts.append(f"| `{name}` | {event.since} | {event.meaning} | {event.target} | {members} |")
    return "\n".join([*parts, "", END])


def renewed(page: str) -> str:
    """The page with its section replaced."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + reference() + tail


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
