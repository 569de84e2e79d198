"""What a mail about an event says, in both languages, as plain text and as HTML. It holds no secret and no link.

No link, because a mail that asks people to follow one and sign in is what phishing looks like; it names the address of
the console as text.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from authserver.ports.events.webhooks import Delivery

LANGUAGES: Final = ("en", "de")


def _parsed(text: str) -> dict[str, tuple[str, str]]:
    """Subject and sentence by type, from paragraphs that begin with both on their first line."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        head, _, body = paragraph.partition("\n")
        event_type, _, subject = head.partition(": ")
        found[event_type] = (subject, " ".join(body.split()))
    return found


_ENGLISH: Final = """
credential.expiring: “{name}” expires in {days} days
The credential “{name}” expires on {expires_at}. Change its expiry in the console, or make another one in
time.

credential.expired: “{name}” has expired
The credential “{name}” has expired; its client gets no token any more.

credential.unused: Nobody uses “{name}”
Nobody used the credential “{name}” for long. {unused}

secret.regenerated: “{name}” has a new secret
The credential “{name}” got a new secret. If that was neither you nor a program of yours, disable it now.

secret.new_network: “{name}” is used from a new network
The secret of “{name}” was used from {network} for the first time. If you do not know that network, make a new
secret now.

secret.leaked: A secret or token of “{name}” was leaked, and ended
{reporter} found a secret of the credential “{name}” at {url}. It ended at once, with all of its tokens. Make
a new one, and find out how it got there.

user.role_reduced: Your roles were reduced
A role of {username} was removed, or the account was disabled ({change}). Every token from before is dead;
programs get new ones with the roles that are left.

signing_key.rotated: Another key signs
Tokens are signed by another key from now on ({change}).

signing_key.compromised: A signing key was declared compromised
The signing key {key} was declared compromised; every token that it signed is dead.

audit.chain_broken: The chain of audit records is broken
Record {record} of the audit trail does not hold: {fault}. Somebody may have written to the database.
"""
_GERMAN: Final = """
credential.expiring: „{name}“ läuft in {days} Tagen ab
Die Zugangsdaten „{name}“ laufen am {expires_at} ab. Ändern Sie den Ablauf in der Konsole, oder legen Sie
rechtzeitig neue an.

credential.expired: „{name}“ ist abgelaufen
Die Zugangsdaten „{name}“ sind abgelaufen; ihr Client bekommt kein Token mehr.

credential.unused: Niemand benutzt „{name}“
Niemand hat die Zugangsdaten „{name}“ lange benutzt. {unused}

secret.regenerated: „{name}“ hat ein neues Geheimnis
Die Zugangsdaten „{name}“ haben ein neues Geheimnis. Waren das weder Sie noch ein Programm von Ihnen,
deaktivieren Sie sie jetzt.

secret.new_network: „{name}“ wird aus einem neuen Netz benutzt
Das Geheimnis von „{name}“ wurde zum ersten Mal aus {network} benutzt. Kennen Sie das Netz nicht, erzeugen Sie
jetzt ein neues Geheimnis.

secret.leaked: Ein Geheimnis oder Token von „{name}“ war öffentlich und ist beendet
{reporter} hat ein Geheimnis der Zugangsdaten „{name}“ unter {url} gefunden. Es ist sofort beendet worden, mit
allen seinen Token. Erzeugen Sie ein neues, und finden Sie heraus, wie es dorthin kam.

user.role_reduced: Ihre Rollen wurden verringert
{username} wurde eine Rolle entzogen, oder das Konto wurde deaktiviert ({change}). Jedes Token von davor ist
tot; Programme bekommen neue mit den Rollen, die bleiben.

signing_key.rotated: Ein anderer Schlüssel signiert
Von jetzt an signiert ein anderer Schlüssel die Token ({change}).

signing_key.compromised: Ein Signaturschlüssel wurde für kompromittiert erklärt
Der Signaturschlüssel {key} wurde für kompromittiert erklärt; jedes Token, das er signiert hat, ist tot.

audit.chain_broken: Die Kette der Audit-Einträge ist gebrochen
Eintrag {record} der Audit-Spur hält nicht: {fault}. Vielleicht hat jemand in die Datenbank geschrieben.
"""
_TEXTS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {"en": _parsed(_ENGLISH), "de": _parsed(_GERMAN)}
_UNUSED: Final = {
    "en": ("It will be disabled on {at}, if nobody uses it.", "It was disabled; its owner may enable it again."),
    "de": (
        "Sie werden am {at} deaktiviert, wenn sie niemand benutzt.",
        "Sie wurden deaktiviert; ihr Eigentümer darf sie wieder aktivieren.",
    ),
}
_FOOT: Final = {
    "en": ("When: {at}", "Credential: {client_id}", "Console: {console}"),
    "de": ("Wann: {at}", "Zugangsdaten: {client_id}", "Konsole: {console}"),
}
_FORMATS: Final = {"en": "%d %B %Y, %H:%M UTC", "de": "%d.%m.%Y, %H:%M UTC"}


_NOTHING: Final = "?"


class _Known(dict[str, str]):
    """A member that an event does not have is shown as a question mark."""

    def __missing__(self, key: str) -> str:
        return _NOTHING


def text_of(delivery: Delivery, language: str, console: str) -> tuple[str, str, str]:
    """Subject, plain text and HTML of a mail."""
    language = language if language in _TEXTS else "en"
    data: dict[str, Any] = json.loads(delivery.data)
    values = _Known({name: _line(value) for name, value in data.items()})
    for name in ("expires_at", "disables_at"):
        if isinstance(data.get(name), int):
            values[name] = _date(data[name], language)
    ahead, done = _UNUSED[language]
    values["unused"] = ahead.format(at=values["disables_at"]) if "disables_at" in data else done
    subject, sentence = (each.format_map(values) for each in _TEXTS[language][delivery.type])
    foot = [
        each.format_map(_Known(values | {"at": _date(delivery.at, language), "console": console}))
        for each in _FOOT[language]
    ]
    lines = [each for each in foot if "client_id" in data or not each.endswith(_NOTHING)]
    plain = "\n".join([sentence, "", *lines, ""])
    inner = f"<p>{escape(sentence)}</p><p>{'<br>'.join(map(escape, lines))}</p>"
    html = f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head><body>{inner}</body></html>'
    return subject, plain, html


def _line(value: object) -> str:
    """A value on one line; what a stranger wrote cannot begin another header or line."""
    text = str(value)
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def _date(at: int, language: str) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(_FORMATS[language])
