"""Writes the command reference of ``docs/cli.md`` from the commands themselves: ``make docs``.

``tests/project/test_project_rules.py`` compares the page with the code.
"""

import sys
from pathlib import Path

import click

from authserver.cli import NOUNS
from authserver.cli.command import CODES, Command

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
BEGIN = "<!-- reference: made by `python -m authserver.cli.reference` -->"
END = "<!-- end of reference -->"


def commands() -> list[tuple[str, Command]]:
    """Every command with its full name."""
    named: list[tuple[str, Command]] = []
    for noun in NOUNS:
        if isinstance(noun, Command):
            named.append((f"flask {noun.name}", noun))
        elif isinstance(noun, click.Group):
            named += _inside(noun, f"flask {noun.name}")
    return named


def _inside(noun: click.Group, path: str) -> list[tuple[str, Command]]:
    named: list[tuple[str, Command]] = []
    for name, each in noun.commands.items():
        if isinstance(each, Command):
            named.append((f"{path} {name}", each))
        elif isinstance(each, click.Group):
            named += _inside(each, f"{path} {name}")
    return named


def reference() -> str:
    """The section between ``BEGIN`` and ``END``."""
    parts = [BEGIN, "", "### Exit codes", "", "| code | meaning |", "|---|---|"]
    parts += [f"| {code} | {meaning} |" for code, meaning in CODES.items()]
    last = ""
    for path, command in commands():
        noun = path.split()[1]
        if noun != last:
            parts += ["", f"### {noun}"]
            last = noun
        parts += ["", *_entry(path, command)]
    return "\n".join([*parts, "", END])


def _entry(path: str, command: Command) -> list[str]:
    context = click.Context(command, info_name=path)
    arguments = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    title = f"{path} {arguments}".strip()
    lines = [f"#### `{title}`", "", " ".join((command.help or "").split()), ""]
    for param in command.params:
        record = param.get_help_record(context)
        if record is not None and isinstance(param, click.Option):
            lines.append(f"- `{record[0]}` {' '.join(record[1].split())}")
    return [*lines, "", "```text", *command.examples, "```"]


def renewed(page: str) -> str:
    """The page with its reference section replaced."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + reference() + tail


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
