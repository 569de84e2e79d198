"""What things may be called.

Role names travel as OAuth scope tokens, so they are ASCII by construction and
two that look alike cannot differ by an invisible character.
"""

import re
import unicodedata
from urllib.parse import urlsplit

ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
CLIENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]-]|%[0-9A-Fa-f]{2})+")
"""RFC 3986 §4.3, the characters; no fragment."""

ISSUER = re.compile(r"https?://[!-~]+")
SUBJECT = re.compile(r"[!-~](?:[ -~]*[!-~])?")

MAX_DISPLAY_NAME = 100
MAX_IDENTITY = 255
MAX_AUDIENCE = 255
KINDS = ("operational", "builder")


def role_name_fault(name: str) -> str | None:
    """Say what is wrong with a role name, or None."""
    if ROLE_NAME.fullmatch(name):
        return None
    return "a role name is 1 to 64 of A-Z a-z 0-9 . _ : / - and starts with a letter or digit"


def username_fault(name: str) -> str | None:
    """Say what is wrong with a user name, or None."""
    if USERNAME.fullmatch(name):
        return None
    return "a user name is 1 to 128 of A-Z a-z 0-9 . _ @ + - and starts with a letter or digit"


def display_name_fault(name: str) -> str | None:
    """Say what is wrong with the name of a credential or resource server, or None."""
    if not name.strip() or len(name) > MAX_DISPLAY_NAME:
        return f"a name is 1 to {MAX_DISPLAY_NAME} characters"
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in name):
        return "a name holds no control, invisible or line-breaking characters"
    return None


def audience_fault(uri: str) -> str | None:
    """Say what is wrong with an audience, or None (RFC 8707 §2: absolute URI, no fragment)."""
    if len(uri) <= MAX_AUDIENCE and ABSOLUTE_URI.fullmatch(uri) and _has_a_host(uri):
        return None
    text = "an audience is an absolute URI such as https://api.example.com, without a fragment"
    return f"{text}, of {MAX_AUDIENCE} characters at most"


def identity_fault(issuer: str, subject: str) -> str | None:
    """Say what is wrong with an identity at another provider, or None (OpenID Connect Core §2)."""
    if not ISSUER.fullmatch(issuer) or len(issuer) > MAX_IDENTITY or not _has_a_host(issuer):
        return f"an issuer is an https URL as its ID tokens spell it, of {MAX_IDENTITY} characters at most"
    if not SUBJECT.fullmatch(subject) or len(subject) > MAX_IDENTITY:
        return f"a subject is the `sub` of an ID token: 1 to {MAX_IDENTITY} printable ASCII characters"
    return None


def _has_a_host(uri: str) -> bool:
    """Whether an http URI names a host, and any other that begins an authority (RFC 9110 §4.2.1, RFC 3986 §3.2)."""
    scheme, _, rest = uri.partition(":")
    if not rest.startswith("//"):
        return scheme.lower() not in {"http", "https"}
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def storable(text: str) -> bool:
    """Whether every database can hold a text: no NUL, and nothing that has no UTF-8."""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))
