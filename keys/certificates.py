"""Reads the TLS certificates of clients, and verifies that an authority issued one (RFC 8705 §2, RFC 5280).

Every name is brought into one spelling, so that two are compared as texts: a subject by RFC 4514 with its parts in the
order of the certificate, a host in lower case, an address as ``ipaddress`` writes it.
"""

import base64
import binascii
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from keys.import_key import FLOOR_RSA_BITS, WeakKey, check_public_rsa
from keys.jws import PRIVATE_MEMBERS

MOST_BYTES: Final = 8 * 1024
"""Of a certificate in DER; one with an RSA key of 4096 bits and twenty names has 2 kB."""

MOST_TEXT: Final = 16 * 1024
"""Characters of a pasted certificate."""

MOST_AUTHORITIES: Final = 100
_LONGEST_HOST: Final = 253
_CHAIN_SECONDS: Final = 60
_CACHE_SIZE: Final = 1024

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_ATTRIBUTES: Final = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "title",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}
"""Attribute types that RFC 4514 §3 has no short name for, as openssl prints them; others stand as numbers."""
_SHORT_NAMES: Final = {short: oid for oid, short in _ATTRIBUTES.items()}


class UnusableCertificate(ValueError):
    """It is no certificate, or one that may not be used; the text says what to bring instead."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate as it was read; nothing of it is proven but what whoever passed it on has checked.

    ``thumbprint`` is ``x5t#S256``; ``names`` are its names by their kind (``subject_dn``, ``san_dns``, ``san_uri``,
    ``san_ip``, ``san_email``); it is valid from ``not_before`` until ``not_after``, both included, seconds of UTC.
    """

    thumbprint: str
    subject: str
    names: Mapping[str, frozenset[str]]
    not_before: int
    not_after: int
    parsed: x509.Certificate = field(repr=False, compare=False)


def read_der(der: bytes) -> ClientCertificate:
    """Read a certificate.

    Raises:
        UnusableCertificate: malformed, or too long.
    """
    if len(der) > MOST_BYTES:
        msg = f"a certificate has {MOST_BYTES // 1024} kB at most"
        raise UnusableCertificate(msg)
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        certificate.public_key()
        is_numbered = certificate.serial_number > 0  # RFC 5280 §4.1.2.2; cryptography only warns of others yet
    except _UNREADABLE as error:
        msg = "it is no X.509 certificate that can be read"
        raise UnusableCertificate(msg) from error
    if not is_numbered:
        msg = "its serial number is not positive"
        raise UnusableCertificate(msg)
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    subject = subject_text(certificate.subject)
    return ClientCertificate(digest, subject, names, int(begins.timestamp()), int(ends.timestamp()), certificate)


def der_of_pem(text: bytes) -> bytes:
    """The DER of one certificate in PEM (RFC 7468 §5); line breaks may have become blanks.

    Raises:
        UnusableCertificate: none, several, or something else.
    """
    found = _PEM.fullmatch(text)
    if found is None:
        msg = "it is not one certificate in PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
        raise UnusableCertificate(msg)
    return der_of_base64(b"".join(found[1].split()))


def der_of_base64(text: bytes) -> bytes:
    """The DER of a certificate in base64 (RFC 4648 §4), nothing else among it.

    Raises:
        UnusableCertificate: it is not that.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        msg = "it is no base64"
        raise UnusableCertificate(msg) from error


def read_pasted(text: str) -> ClientCertificate:
    """Read a certificate that somebody registers: PEM, a JWK with ``x5c`` (RFC 7517 §4.7), or a set of one such.

    Raises:
        UnusableCertificate: unreadable, private or weak; the text says what to bring instead.
    """
    text = text.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not text or len(text) > MOST_TEXT:
        msg = f"paste one certificate, as PEM or as JWK with x5c, of {MOST_TEXT} characters at most"
        raise UnusableCertificate(msg)
    if "PRIVATE KEY" in text:
        raise UnusableCertificate(_PRIVATE)
    der = _der_of_jwk(text) if text.startswith("{") else der_of_pem(text.encode("ascii", "replace"))
    certificate = read_der(der)
    public = certificate.parsed.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        try:
            check_public_rsa(public, FLOOR_RSA_BITS)
        except WeakKey as error:
            raise UnusableCertificate(str(error)) from error
    return certificate


_PRIVATE: Final = "this holds a private key, which must never leave the client: paste its certificate alone"


def _der_of_jwk(text: str) -> bytes:
    msg = "paste a JWK with x5c, or a JWK set of one such; x5c begins with the certificate of the client in base64"
    try:
        members: Any = json.loads(text)
    except ValueError as error:
        raise UnusableCertificate(msg) from error
    if isinstance(members, dict) and isinstance(members.get("keys"), list) and len(members["keys"]) == 1:
        members = members["keys"][0]
    if not isinstance(members, dict):
        raise UnusableCertificate(msg)
    if PRIVATE_MEMBERS & members.keys():
        raise UnusableCertificate(_PRIVATE)
    chain = members.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise UnusableCertificate(msg)
    return der_of_base64(chain[0].encode("ascii", "replace"))


def spelled(kind: str, text: str) -> str:
    """A name that somebody typed in the spelling that ``ClientCertificate.names`` has.

    Raises:
        UnusableCertificate: it is no name of that kind; the text says what to write instead.
    """
    text = text.strip()
    if not text or len(text) > MOST_TEXT or not text.isprintable():
        msg = "a name is printable text"
        raise UnusableCertificate(msg)
    return _SPELL[kind](text)


def subject_text(name: x509.Name) -> str:
    """A distinguished name by RFC 4514 §2; the attributes of one part in the order of the alphabet."""
    parts = (sorted(each.rfc4514_string(_ATTRIBUTES) for each in part) for part in reversed(list(name.rdns)))
    return ",".join("+".join(part) for part in parts)


def _spell_subject(text: str) -> str:
    try:
        return subject_text(x509.Name.from_rfc4514_string(text, _SHORT_NAMES))
    except ValueError as error:
        msg = (
            "a subject is written as in RFC 4514, the last part of the certificate first: CN=payroll,O=Acme,C=DE;"
            " `openssl x509 -noout -subject -nameopt RFC2253 -in cert.pem` prints it"
        )
        raise UnusableCertificate(msg) from error


def _spell_dns(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*", text) or len(text) > _LONGEST_HOST:
        msg = "a DNS name is one host without a wildcard, such as payroll.example.com"
        raise UnusableCertificate(msg)
    return text.lower()


def _spell_uri(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", text):
        msg = "a URI is one as the certificate has it, such as spiffe://example.org/payroll"
        raise UnusableCertificate(msg)
    return text


def _spell_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        msg = "an IP address is one address, such as 192.0.2.7 or 2001:db8::7"
        raise UnusableCertificate(msg) from error


def _spell_email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not local or not at or not re.fullmatch(r"[A-Za-z0-9.-]+", domain) or not text.isascii():
        msg = "an e-mail address is one such as payroll@example.com"
        raise UnusableCertificate(msg)
    return f"{local}@{domain.lower()}"


_SPELL: Final[Mapping[str, Callable[[str], str]]] = {
    "subject_dn": _spell_subject,
    "san_dns": _spell_dns,
    "san_uri": _spell_uri,
    "san_ip": _spell_address,
    "san_email": _spell_email,
}


def _names(certificate: x509.Certificate) -> Mapping[str, frozenset[str]]:
    subject = subject_text(certificate.subject)
    found: dict[str, frozenset[str]] = {"subject_dn": frozenset({subject} - {""})}
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    mails = (each.rpartition("@") for each in others.get_values_for_type(x509.RFC822Name))
    return found | {
        "san_dns": frozenset(each.lower() for each in others.get_values_for_type(x509.DNSName)),
        "san_uri": frozenset(others.get_values_for_type(x509.UniformResourceIdentifier)),
        "san_ip": frozenset(map(str, others.get_values_for_type(x509.IPAddress))),
        "san_email": frozenset(f"{local}@{domain.lower()}" for local, _, domain in mails),
    }


class Authorities:
    """The certificate authorities whose certificates may name clients, from a bundle in PEM."""

    def __init__(self, pem: str) -> None:
        """Take the bundle; each certificate in it is an anchor of its own, the ones of intermediate authorities too.

        Raises:
            UnusableCertificate: unreadable, or one of them is no authority.
        """
        try:
            anchors = x509.load_pem_x509_certificates(pem.encode("utf-8", "replace"))
            is_authority = all(map(_is_authority, anchors))
        except _UNREADABLE as error:
            msg = "the certificates cannot be read; give one or more in PEM"
            raise UnusableCertificate(msg) from error
        if not 0 < len(anchors) <= MOST_AUTHORITIES or not is_authority:
            msg = f"each is the certificate of an authority (basicConstraints CA:TRUE), {MOST_AUTHORITIES} at most"
            raise UnusableCertificate(msg)
        ignored, any_way = None, verification.Criticality.AGNOSTIC
        client = (
            # RFC 8705 §2.1.2 knows clients by their subject too, and then they need no other name.
            verification.ExtensionPolicy.webpki_defaults_ee()
            .may_be_present(x509.SubjectAlternativeName, any_way, ignored)
            .may_be_present(x509.AuthorityKeyIdentifier, any_way, ignored)
        )
        issuer = verification.ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, any_way, ignored)
        policy = verification.PolicyBuilder().store(verification.Store(anchors))
        self._policy = policy.extension_policies(ca_policy=issuer, ee_policy=client)
        self._verified = lru_cache(_CACHE_SIZE)(self._verify)

    def issued(self, certificate: ClientCertificate, now: int) -> bool:
        """Whether one of them issued it, for clients (extendedKeyUsage), and both are valid at ``now``.

        The chain has no links between: an authority that issues through another one has both in the bundle. It is
        verified once in a minute, so the end of an authority's own certificate counts at the next whole one.
        """
        return self._verified(certificate.parsed, max(now - now % _CHAIN_SECONDS, certificate.not_before))

    def _verify(self, certificate: x509.Certificate, at: int) -> bool:
        verifier = self._policy.time(datetime.fromtimestamp(at, UTC)).build_client_verifier()
        try:
            verifier.verify(certificate, [])
        except verification.VerificationError:
            return False
        return True


def _is_authority(certificate: x509.Certificate) -> bool:
    extensions = {type(each.value): each.value for each in certificate.extensions}
    basic, usage = extensions.get(x509.BasicConstraints), extensions.get(x509.KeyUsage)
    return (
        isinstance(basic, x509.BasicConstraints)
        and basic.ca
        and (not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign)
    )
