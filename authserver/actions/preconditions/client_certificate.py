"""Authenticates a client by the certificate of its TLS connection (mTLS, RFC 8705 §2).

Whoever ended TLS has checked that the client has the private key. Whether an authority issued the certificate is
verified here, against the bundle of this server: a proxy that admits self-signed certificates too passes on whatever a
client made for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from authserver.ports.hot_path import LiveSecret
from authserver.rules.client_authentication.certificate import TLS_CLIENT_AUTH, CertificateCondition, condition_of
from authserver.rules.facts import Instant
from keys.certificates import Authorities, ClientCertificate


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """A client, unproven, by the certificate that it came with."""

    client_id: str
    certificate: ClientCertificate

    def again(self) -> "PresentedCertificate":
        """The same for a second look at the facts within one request."""
        return self


def judged_certificate(
    presented: PresentedCertificate, secrets: Sequence[LiveSecret], authorities: Authorities | None, now: Instant
) -> tuple[LiveSecret | None, str]:
    """The condition that the certificate meets, and the reason to refuse it; the reason is empty when it is good.

    The chain is verified for every client, also for one that is unknown or needs none, so that all take the same time
    (INV-29). The condition ends with the certificate, so that no token outlives what it was obtained with.
    """
    certificate = presented.certificate
    # Within its own time, which is judged below: one that is over is verified for as long as a good one.
    at = min(max(now, certificate.not_before), certificate.not_after)
    is_issued = authorities is not None and authorities.issued(certificate, at)
    read = [(each, _read(each)) for each in secrets if each.is_certificate]
    met = [(each, found) for each, found in read if found and found.admits(certificate.thumbprint, certificate.names)]
    live = [(each, found) for each, found in met if each.ends_at is None]
    if not live:
        return None, "certificate_ended" if met else "certificate_unknown" if read else "no_certificate"
    proven = next((each for each, found in live if found.method != TLS_CLIENT_AUTH or is_issued), None)
    if now < certificate.not_before:
        return None, "certificate_not_yet_valid"
    if now > certificate.not_after:
        return None, "certificate_expired"
    if proven is None:
        return None, "certificate_untrusted"
    return proven._replace(ends_at=certificate.not_after + 1), ""


def _read(kept: LiveSecret) -> CertificateCondition | None:
    """A condition; None for one of a newer version, which then lets nobody in (INV-24)."""
    try:
        return condition_of(kept.trust or "")
    except ValueError:
        return None
