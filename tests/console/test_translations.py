"""Every text of the console in every language, and no text that nobody says."""

import re

import pytest
from babel.messages.pofile import read_po

from authserver.console.i18n.messages import CATALOGS, LANGUAGES, SOURCE
from authserver.console.i18n.translations import missing, stale, texts
from tests.support.console_browser import Browser

OTHERS = [language for language in LANGUAGES if language != SOURCE]


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_lacks_a_translation_and_nothing_is_left_over(language):
    assert len(texts()) > 50
    assert missing(language) == []
    assert stale(language) == []


@pytest.mark.parametrize("language", OTHERS)
def test_what_stands_in_two_files_is_said_in_one_way(language):
    values = {}
    for path in (CATALOGS / language).glob("*.po"):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id:
                    assert values.setdefault(str(message.id), message.string) == message.string


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_are_the_same(language):
    for path in (CATALOGS / language).glob("*.po"):
        for entry in path.read_text(encoding="utf-8").split("\n\n")[1:]:
            source, _, translated = entry.partition("msgstr")
            assert set(re.findall(r"%\(\w+\)[sd]", translated)) <= set(re.findall(r"%\(\w+\)[sd]", source)), entry


def test_the_page_speaks_as_the_browser_asks(world):
    browser = Browser(world)
    german = browser.get("/console/sign-in", **{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    assert '<html lang="de"' in german.text
    assert "Benutzername" in german.words
    other = browser.get("/console/sign-in", **{"Accept-Language": "fr"})
    assert '<html lang="en"' in other.text
