"""Finds every text of the console and what the catalogues lack: ``python -m authserver.console.i18n.translations``.

Prints an entry for each text without a translation, to be filled in and put into
the ``.po`` file of its part, and names entries that no page says any more.
``rules.po`` holds what rules and verbs say in English when they refuse.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from authserver.console.i18n.messages import CATALOGS, LANGUAGES, SOURCE

CONSOLE: Final = Path(__file__).resolve().parents[1]
REFUSALS: Final = "rules.po"
_KEYWORDS: Final = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
_METHODS: Final = [("**.py", "python"), ("**.html", "jinja2")]
_OPTIONS: Final = {"**.html": {"newstyle_gettext": "true", "trim_blocks": "true", "silent": "false"}}

Text = str | tuple[str, ...]


def texts() -> dict[Text, str]:
    """Every text that code and templates say, and the file that says it."""
    found: dict[Text, str] = {}
    for file, _line, text, _comments, _context in extract_from_dir(
        CONSOLE, _METHODS, _OPTIONS, keywords=_KEYWORDS, strip_comment_tags=True
    ):
        found.setdefault(text, file)
    return found


def entries(language: str) -> Iterator[tuple[str, Text, bool]]:
    """File, text and whether it is well translated, for every entry of a language."""
    for path in sorted((CATALOGS / language).glob("*.po")):
        with path.open("rb") as file:
            catalogue: Catalog = read_po(file, locale=language)
        for message in catalogue:
            if message.id:
                translated = message.string if isinstance(message.string, tuple) else (message.string,)
                text = message.id if isinstance(message.id, str) else tuple(message.id)
                yield path.name, text, all(translated) and not message.fuzzy and not list(message.check(catalogue))


def missing(language: str) -> list[Text]:
    """What has no good translation."""
    translated_texts = {text for _, text, is_translated in entries(language) if is_translated}
    return [text for text in texts() if text not in translated_texts]


def stale(language: str) -> list[tuple[str, Text]]:
    """Entries that are not used any more."""
    translated = texts()
    return [(file, text) for file, text, _ in entries(language) if text not in translated and file != REFUSALS]


def main() -> int:
    """Print what is to be done; 1 when there is something."""
    complete = True
    known = texts()
    for language in LANGUAGES:
        if language == SOURCE:
            continue
        for text in missing(language):
            complete = False
            sys.stdout.write(f"# {known[text]}\n{_entry(text)}\n")
        for file, text in stale(language):
            complete = False
            sys.stdout.write(f"# no longer said: {language}/{file} {text!r}\n")
    return 0 if complete else 1


def _entry(text: Text) -> str:
    if isinstance(text, str):
        return f'msgid {_quoted(text)}\nmsgstr ""\n'
    return f'msgid {_quoted(text[0])}\nmsgid_plural {_quoted(text[1])}\nmsgstr[0] ""\nmsgstr[1] ""\n'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main())
