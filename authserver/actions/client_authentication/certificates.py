"""Which TLS certificates stand for a credential (mTLS, RFC 8705 §2): add a condition, end one.

``owner_id`` narrows a function to one owner's credentials (INV-09).
"""

import uuid

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import TrustRecord
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.certificate import (
    NAMES,
    THUMBPRINT,
    CertificateCondition,
    condition_of,
)
from authserver.rules.facts import Instant
from keys.certificates import UnusableCertificate, read_pasted, spelled

MOST_CONDITIONS = 10
"""That work at a time; each is looked at for each token."""


def registered(text: str, now: Instant) -> CertificateCondition:
    """The condition that a pasted certificate makes: that one and no other (``self_signed_tls_client_auth``).

    Raises:
        Invalid: no certificate that may be used, or one that is over.
    """
    try:
        certificate = read_pasted(text)
    except UnusableCertificate as error:
        raise Invalid(str(error)) from error
    if now > certificate.not_after:
        msg = "the certificate is over; make a new one"
        raise Invalid(msg)
    return CertificateCondition(THUMBPRINT, certificate.thumbprint, certificate.subject, certificate.not_after)


def named(name: str, value: str) -> CertificateCondition:
    """The condition that an authority's certificate has one name (``tls_client_auth``).

    Args:
        name: one of ``rules.client_authentication.certificate.NAMES``.
        value: the name, in any usual spelling.

    Raises:
        Invalid: it is no name of that kind.
    """
    if name not in NAMES:
        msg = f"a certificate is known by one of {', '.join(NAMES)}"
        raise Invalid(msg)
    try:
        return CertificateCondition(name, spelled(name, value))
    except UnusableCertificate as error:
        raise Invalid(str(error)) from error


def add(
    accounts: Accounts,
    client_id: str,
    wanted: CertificateCondition,
    *,
    actor: str,
    now: Instant,
    owner_id: str | None = None,
) -> TrustRecord:
    """Let certificates that meet a condition stand for a credential.

    Raises:
        Conflict: it has that condition already, or as many as may be.
        NotFound: unknown, or not the owner's.
    """
    with accounts.change(Event("credential.certificate_added", actor, client_id), now) as tx:
        working = [each for each in tx.credential(client_id, owner_id).certificates if each.ends_at is None]
        if wanted.text in {each.text for each in working}:
            msg = "the credential has that certificate or name already"
            raise Conflict(msg)
        if len(working) >= MOST_CONDITIONS:
            msg = (
                f"the credential has {MOST_CONDITIONS} certificates and names, which is the most; remove one that is"
                " not used any more"
            )
            raise Conflict(msg)
        record = TrustRecord(f"crt_{uuid.uuid4().hex}", wanted.text, now)
        tx.insert_trust(client_id, record)
        tx.detail(certificate=record.id, name=wanted.name, value=wanted.value)
        return record


def remove(
    accounts: Accounts, client_id: str, certificate_id: str, *, actor: str, now: Instant, owner_id: str | None = None
) -> None:
    """End a condition at once, and with it the tokens that it obtained.

    Raises:
        NotFound: unknown, or not the owner's; or no condition of it with that id works.
    """
    with accounts.change(Event("credential.certificate_removed", actor, client_id), now) as tx:
        known = tx.credential(client_id, owner_id).certificates
        found = next((each for each in known if each.id == certificate_id and each.ends_at is None), None)
        if found is None:
            msg = f"the credential has no certificate {certificate_id[:64]!r}; `flask credentials certificates list`"
            raise NotFound(msg)
        tx.end_trust(client_id, found.id, now)
        tx.detail(certificate=found.id, **_named(found.text))


def _named(text: str) -> dict[str, str]:
    try:
        condition = condition_of(text)
    except ValueError:
        return {}  # of a newer version, which this one can end all the same
    return {"name": condition.name, "value": condition.value}
