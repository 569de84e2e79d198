"""Takes secrets and tokens out of text before it is written (INV-20).

No event is meant to hold a secret; this is the second line of defence.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

_MAX_LENGTH = 512
_MAX_SCANNED = 8 * _MAX_LENGTH
"""The rest is cut off unscanned, so that a megabyte costs no more than a line."""
_SECRETS = re.compile(
    r"(?:acs|acv|acu)_[0-9A-Za-z]{8,}"  # also behind a letter: escape sequences end in one
    r"|eyJ[0-9A-Za-z_-]{10,}(?:\.[0-9A-Za-z_-]*)*"
    r"|(?i:\b(?:basic|bearer)\s+)[0-9A-Za-z+/=._~-]{8,}"
    r"|(?i:\b(?:client_secret|password|token|client_assertion)=)[^&\s]+"
    r"|[0-9A-Za-z_+=-]{65,}"  # no name or hash of ours is that long
)


_SHORT_SECRET = re.compile(r"[_=\s]|eyJ")
"""What every secret has that is short; the long ones are told by their length."""
_MAX_SHORT = 64


def redact(text: str) -> str:
    """Replace what looks like a secret, token or Authorization header, and cut what is too long."""
    if len(text) <= _MAX_SHORT and _SHORT_SECRET.search(text) is None:
        return text
    clean = _SECRETS.sub("***", text[:_MAX_SCANNED])
    return clean if len(clean) <= _MAX_LENGTH else f"{clean[:_MAX_LENGTH]}…"


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Redact every value of a structlog event, nested ones as well."""
    return {redact(str(key)): _value(value) for key, value in event.items()}


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        return {redact(str(key)): _value(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(each) for each in value]
    return redact(str(value))
