"""Translates the texts of the console into the language of the reader.

English is the source and stands in code and templates. A catalogue is every
``*.po`` file in ``translations/<language>``: each part of the console has one of
its own. They are read as they are when first needed, so nothing has to be built.
"""

import functools
import gettext as standard
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import g, request
from markupsafe import Markup

from authserver.console.context import console_context
from authserver.ports.errors import Refusal

LANGUAGES: Final = {"en": "English", "de": "Deutsch"}
SOURCE: Final = "en"
CATALOGS: Final = Path(__file__).resolve().parent / "catalogs"
LANGUAGE_COOKIE: Final = "console-language"


@functools.cache
def catalog(language: str) -> Catalog:
    """All texts of a language."""
    merged = Catalog(locale=language)
    for path in sorted((CATALOGS / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id:
                    merged.add(message.id, message.string, context=message.context)
    return merged


@functools.cache
def translations(language: str) -> standard.NullTranslations:
    """The texts of a language, ready to be asked."""
    if language == SOURCE:
        return standard.NullTranslations()
    file = BytesIO()
    write_mo(file, catalog(language))
    file.seek(0)
    return standard.GNUTranslations(file)


def language() -> str:
    """The language of the current page: as its reader chose, else by ``Accept-Language``."""
    known: str | None = g.get("console_language")
    if known is None:
        current_user = console_context().current_user
        chosen = current_user.preferences.language if current_user else ""
        chosen = chosen or request.cookies.get(LANGUAGE_COOKIE, "")
        known = chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES) or SOURCE
        g.console_language = known
    return known


def set_language(chosen: str) -> None:
    """Use a language for the rest of the request, so that the message about the change is in the new one."""
    g.console_language = chosen


def gettext(text: str) -> str:
    """A text in the language of the page."""
    return translations(language()).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """A text that depends on a number."""
    return translations(language()).ngettext(one, many, number)


def marked(text: str, /, **values: Any) -> Markup:
    """``_`` for templates: markup, with its values escaped; a page says a few hundred, the same ones each time."""
    language_code = language()
    return _markup(language_code, text) % values if values else _markup_without_values(language_code, text)


def marked_number(one: str, many: str, number: int, /, **values: Any) -> Markup:
    """``ngettext`` for templates; the number is called ``num``."""
    language_code = language()
    if not values:
        return _plural_markup(language_code, one, many, number)
    return Markup(translations(language_code).ngettext(one, many, number)) % {"num": number, **values}  # noqa: S704 - ours


@functools.lru_cache(maxsize=4096)
def _markup(language_code: str, text: str) -> Markup:
    return Markup(translations(language_code).gettext(text))  # noqa: S704 - a text of ours


@functools.lru_cache(maxsize=4096)
def _markup_without_values(language_code: str, text: str) -> Markup:
    # Always a format, as Jinja's own gettext has it: %% is a percent sign whether or not values follow.
    return _markup(language_code, text) % {}


@functools.lru_cache(maxsize=4096)
def _plural_markup(language_code: str, one: str, many: str, number: int) -> Markup:
    return Markup(translations(language_code).ngettext(one, many, number)) % {"num": number}  # noqa: S704 - a text of ours


def _(text: str, **values: Any) -> str:
    """A text in the language of the page, with its values put in: ``_("%(name)s is gone.", name=name)``."""
    translated = gettext(text)
    return translated % values if values else translated


def error_text(error: Refusal) -> str:
    """What a refused verb says, as a sentence in the language of the page; see ``rules.po``."""
    translated = gettext(str(error))
    return translated[:1].upper() + translated[1:] + ("" if translated.endswith((".", "!", "?")) else ".")


def N_(text: str) -> str:  # noqa: N802 - the name gettext's tools know
    """Mark a text for the catalogues; it is translated where it is shown."""
    return text
