"""Which TLS client certificates stand for a client (RFC 8705 §2), kept where a trust in an issuer would be.

A condition is either one name that a certificate of an authority has (``tls_client_auth``, §2.1.2), or the hash of one
certificate, whoever issued it (``self_signed_tls_client_auth``, §2.2.2). Names are compared as exact texts in one
spelling, which ``keys.certificates`` makes: there are no wildcards and no parts of names.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from authserver.rules.facts import Instant

NAMES: Final = ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email")
"""What a certificate of an authority is known by: client metadata of RFC 8705 §2.1.2, without ``tls_client_auth_``."""

THUMBPRINT: Final = "x5t#S256"
"""What one certificate is known by: SHA-256 of its DER in base64url (RFC 8705 §3.1)."""

TLS_CLIENT_AUTH: Final = "tls_client_auth"
SELF_SIGNED: Final = "self_signed_tls_client_auth"

MOST_TEXT: Final = 512
_BEGIN: Final = '{"certificate":'


@dataclass(frozen=True, slots=True)
class CertificateCondition:
    """``name`` is one of ``NAMES`` or ``THUMBPRINT``, and ``value`` what a certificate must have there.

    ``subject`` and ``not_after`` are told of one certificate, for people; nothing is decided by them.
    """

    name: str
    value: str
    subject: str = ""
    not_after: Instant = 0

    @property
    def method(self) -> str:
        """Its name as ``token_endpoint_auth_method``."""
        return SELF_SIGNED if self.name == THUMBPRINT else TLS_CLIENT_AUTH

    @property
    def text(self) -> str:
        """As it is kept."""
        members: dict[str, str | int] = {"name": self.name, "value": self.value}
        if self.name == THUMBPRINT:
            members |= {"subject": self.subject, "not_after": self.not_after}
        return json.dumps({"certificate": members}, separators=(",", ":"))

    def admits(self, thumbprint: str, names: Mapping[str, frozenset[str]]) -> bool:
        """Whether a certificate with these names meets it; whether an authority issued it is judged elsewhere."""
        if self.name == THUMBPRINT:
            return hmac.compare_digest(self.value, thumbprint)
        return self.value in names.get(self.name, ())


def is_certificate(text: str) -> bool:
    """Whether a kept text is a condition on certificates, and not a trust in an issuer or an address of keys."""
    return text.startswith(_BEGIN)


@lru_cache(maxsize=4096)
def condition_of(text: str) -> CertificateCondition:
    """Read what ``CertificateCondition.text`` made.

    Raises:
        ValueError: a member is unknown or malformed; to pass over one would lift a condition (INV-24).
    """
    try:
        members = json.loads(text)["certificate"]
        found, value = CertificateCondition(**members), members["value"]
    except (KeyError, TypeError) as error:
        msg = "a condition on certificates is not known to this version"
        raise ValueError(msg) from error
    if found.name not in {*NAMES, THUMBPRINT} or not (isinstance(value, str) and value):
        msg = "a condition on certificates is malformed"
        raise ValueError(msg)
    return found
