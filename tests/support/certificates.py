"""Certificate authorities and TLS certificates of clients, right or wrong in any way, and the headers of proxies."""

import base64
import datetime as dt
import hashlib
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.wsgi_client import b64

DAY = 86400
BEGINS = 1_700_000_000
"""Before the clocks of all tests; certificates are valid for decades from here, unless a test says otherwise."""


def subject(text="CN=payroll,O=Acme,C=DE"):
    return x509.Name.from_rfc4514_string(text) if text else x509.Name([])


class Certificate:
    """A certificate and its private key."""

    def __init__(self, certificate, private):
        self.x509, self.private = certificate, private
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key_pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def thumbprint(self):
        return b64(hashlib.sha256(self.der).digest())

    @property
    def base64(self):
        return base64.b64encode(self.der).decode()

    @property
    def structured(self):
        """RFC 9440."""
        return f":{self.base64}:"

    @property
    def escaped(self):
        """``$ssl_client_escaped_cert`` of nginx."""
        return quote(self.pem, safe="")

    @property
    def one_line(self):
        """As Apache writes it."""
        return self.pem.strip().replace("\n", " ")

    @property
    def forwarded(self):
        """An element of ``X-Forwarded-Client-Cert``."""
        digest = hashlib.sha256(self.der).hexdigest()
        return f'By=spiffe://a/b;Hash={digest};Cert="{self.escaped}";Subject="CN=pay\\"roll,O=A;B";URI=spiffe://x/y'


def self_signed(name="CN=payroll,O=Acme,C=DE", private=None, **more):
    private = private or ec.generate_private_key(ec.SECP256R1())
    return Certificate(made(name, name, private.public_key(), private, **more), private)


class Authority(Certificate):
    """A certificate authority."""

    def __init__(self, name="CN=Acme CA", extensions=None, **more):
        private = ec.generate_private_key(ec.SECP256R1())
        known = [(x509.BasicConstraints(ca=True, path_length=None), True)] if extensions is None else extensions
        super().__init__(made(name, name, private.public_key(), private, extensions=known, **more), private)

    def issue(self, name="CN=payroll,O=Acme,C=DE", *, alternatives=(), usage="client", private=None, **more):
        private = private or ec.generate_private_key(ec.SECP256R1())
        extensions = [*more.pop("extensions", ())]
        if alternatives:
            extensions.append((x509.SubjectAlternativeName(list(alternatives)), False))
        oids = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
        if usage:
            extensions.append((x509.ExtendedKeyUsage([oids[usage]]), False))
        certificate = made(name, self.x509.subject, private.public_key(), self.private, extensions=extensions, **more)
        return Certificate(certificate, private)


def made(name, issuer, public, signer, *, extensions=(), begins=BEGINS, ends=BEGINS + 20_000 * DAY):
    name, issuer = (subject(each) if isinstance(each, str) else each for each in (name, issuer))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(begins, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends, dt.UTC))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


__all__ = ["BEGINS", "DAY", "Authority", "Certificate", "NameOID", "made", "self_signed", "subject"]
