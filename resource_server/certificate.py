"""The TLS certificate of a call, for tokens that are bound to one (RFC 8705 §3).

Whoever ended TLS has checked that the client has the private key; here the certificate only has to be the one that the
token names. It comes from the server itself, or in the one header that the settings name, in any of the forms that
proxies write: ``Client-Cert`` (RFC 9440), PEM with percent-encoding or blanks, DER in base64, or
``X-Forwarded-Client-Cert`` of Envoy, whose last element counts.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from resource_server.errors import InvalidToken
from resource_server.settings import Settings
from resource_server.token import Token

_MAX_TEXT = 12 * 1024
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_FORWARDED = re.compile(r"(?:By|Hash|Cert|Chain|Subject|URI|DNS)=", re.IGNORECASE)
_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)\s*([,;]|\Z)')
_SEQUENCE = b"\x30"
"""What every certificate in DER begins with."""


def certificate_of_call(settings: Settings, values: Sequence[str], direct: str = "") -> str:
    """The certificate of a call as it was written; "" for none.

    Args:
        settings: of the verifier; the header counts only where they name it.
        values: of that header.
        direct: what the server that ended TLS says by itself, such as ``SSL_CLIENT_CERT`` of a WSGI environment; it
            counts where no header is named.
    """
    return ",".join(values) if settings.client_certificate_header else direct


def wsgi_name(settings: Settings) -> str:
    """The key of the header in a WSGI environment; "" where none is named."""
    name = settings.client_certificate_header
    return f"HTTP_{name.upper().replace('-', '_')}" if name else ""


def check_certificate(token: Token, certificate: str) -> None:
    """Refuse a token that is bound to a certificate without that certificate (RFC 8705 §3).

    Args:
        token: verified.
        certificate: of the call, as it was written; "" for none.

    Raises:
        InvalidToken: there is none, or another one.
    """
    if not token.x5t:
        return
    if not certificate:
        raise InvalidToken("no_certificate")
    if not hmac.compare_digest(thumbprint(certificate), token.x5t):
        raise InvalidToken("other_certificate")


def thumbprint(text: str) -> str:
    """``x5t#S256`` of a certificate in any of the forms (RFC 8705 §3.1).

    Raises:
        InvalidToken: it is none of them.
    """
    try:
        der = _der(text.strip(" \t")) if len(text) <= _MAX_TEXT and text.isascii() else b""
    except ValueError:
        der = b""
    if not der.startswith(_SEQUENCE):
        raise InvalidToken("malformed_certificate")
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def _der(text: str) -> bytes:
    if text.startswith(":"):
        return base64.b64decode(text[1:-1], validate=True) if text.endswith(":") else b""
    if _FORWARDED.match(text):
        text = _last_of(text)
    if "%" in text:
        return _der_of_pem(unquote_to_bytes(text))
    return _der_of_pem(text.encode()) if "-----" in text else base64.b64decode(text, validate=True)


def _der_of_pem(text: bytes) -> bytes:
    found = _PEM.fullmatch(text)
    return base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""


def _last_of(text: str) -> str:
    """``Cert`` of the last element, which the nearest proxy wrote."""
    found: list[str] = []
    at, separator = 0, ","
    while separator:
        pair = _PAIR.match(text, at)
        if pair is None:
            return ""
        name, value, separator, at = pair[1].lower(), pair[2], pair[3], pair.end()
        if name == "cert":
            found.append(value.strip('"'))
        if separator == ",":
            found.clear()
    return found[0] if len(found) == 1 else ""
