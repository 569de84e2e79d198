"""The TLS certificate of a client, as proxies and gateways write it into a header.

Which form it is, its content says, so that one setting serves all of them:

- ``:MIIB...:``, a byte sequence of structured fields (``Client-Cert``, RFC 9440 §2.2);
- PEM with percent-encoding (``$ssl_client_escaped_cert`` of nginx), or as it is with blanks for line breaks (Apache);
- DER in base64 (HAProxy, Caddy, Traefik);
- ``By=...;Hash=...;Cert="..."`` (``X-Forwarded-Client-Cert`` of Envoy), an element for each proxy on the way. The last
  one counts, which the nearest proxy wrote: what stands before it came from outside.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from authserver.oauth.http import Request
from keys.certificates import ClientCertificate, UnusableCertificate, der_of_base64, der_of_pem, read_der

MOST_TEXT: Final = 12 * 1024
"""Of a header; percent-encoding makes a certificate of 4 kB as long as 6 kB."""

_CACHE_SIZE: Final = 256
_FORWARDED: Final = re.compile(r"(?:By|Hash|Cert|Chain|Subject|URI|DNS)=", re.IGNORECASE)
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)\s*([,;]|\Z)')


class MalformedCertificate(ValueError):
    """A header that holds no certificate in any known form."""


def presented_certificate(request: Request) -> ClientCertificate | None:
    """The certificate that the client of a request came with; None for none.

    Raises:
        MalformedCertificate: the proxy wrote something else into the header.
    """
    return certificate_of(request.certificate) if request.certificate else None


@lru_cache(maxsize=_CACHE_SIZE)
def certificate_of(text: str) -> ClientCertificate:
    """Read a header; a client comes with the same certificate each time, so it is parsed once.

    Raises:
        MalformedCertificate: none of the known forms.
    """
    if len(text) > MOST_TEXT or not text.isascii():
        raise MalformedCertificate
    try:
        return read_der(_der(text.strip(" \t")))
    except UnusableCertificate as error:
        raise MalformedCertificate from error


def _der(text: str) -> bytes:
    if text.startswith(":"):
        if len(text) == 1 or not text.endswith(":"):
            raise MalformedCertificate
        return der_of_base64(text[1:-1].encode())
    if _FORWARDED.match(text):
        text = _last_of(text)
    if "%" in text:
        return der_of_pem(unquote_to_bytes(text))
    return der_of_pem(text.encode()) if text.startswith("-") else der_of_base64(text.encode())


def _last_of(text: str) -> str:
    """``Cert`` of the last element of ``X-Forwarded-Client-Cert``."""
    found: list[str] = []
    at, separator = 0, ","
    while separator:
        pair = _PAIR.match(text, at)
        if pair is None:
            raise MalformedCertificate
        name, value, separator, at = pair[1].lower(), pair[2], pair[3], pair.end()
        if name == "cert":
            found.append(value.strip('"'))
        if separator == ",":
            found.clear()
    if len(found) != 1:
        raise MalformedCertificate
    return found[0]
