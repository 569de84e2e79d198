"""Which TLS certificates stand for a credential, so that its client needs no secret (mTLS, RFC 8705 §2)."""

from typing import Annotated, Literal

from pydantic import Field

from authserver.actions.client_authentication import certificates
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, Answer, operation
from authserver.api.resources.credentials import etag_in, etag_of_credential
from authserver.api.schemas import InstantOut, Items, Model
from authserver.ports.credentials import Credential, TrustRecord
from authserver.ports.errors import Invalid
from authserver.rules.client_authentication.certificate import MOST_TEXT, CertificateCondition, condition_of
from keys.certificates import MOST_TEXT as MOST_PASTED


class CertificateDocument(Model):
    """A condition on certificates of a client."""

    id: str
    method: str = Field(description="`tls_client_auth`, or `self_signed_tls_client_auth` for one certificate.")
    name: str = Field(description="What a certificate is known by; `x5t#S256`: its thumbprint.")
    value: str
    subject: str = Field(description="Of one certificate; empty else.")
    valid_until: InstantOut | None = Field(description="Of one certificate.")
    live: bool
    created_at: InstantOut
    ends_at: InstantOut | None
    last_used_at: InstantOut | None
    last_used_peer: str | None

    @classmethod
    def of(cls, record: TrustRecord) -> "CertificateDocument":
        """As the store has it."""
        try:
            condition = condition_of(record.text)
        except ValueError:
            condition = CertificateCondition("written by a newer version", "")
        return cls(
            id=record.id,
            method=condition.method,
            name=condition.name,
            value=condition.value,
            subject=condition.subject,
            valid_until=condition.not_after or None,
            live=record.ends_at is None,
            created_at=record.created_at,
            ends_at=record.ends_at,
            last_used_at=record.last_used_at,
            last_used_peer=record.last_used_peer,
        )


class NewCertificate(Model):
    """One certificate, or one name that certificates of an authority have; one of both."""

    certificate: Annotated[
        str, Field(max_length=MOST_PASTED, description="As PEM, or a JWK with x5c as text; never the private key.")
    ] = ""
    name: Annotated[
        Literal["", "subject_dn", "san_dns", "san_uri", "san_ip", "san_email"],
        Field(description="What certificates of the server's authorities are known by (RFC 8705 §2.1.2)."),
    ] = ""
    value: Annotated[str, Field(max_length=MOST_TEXT, description="The name; a subject as in RFC 4514.")] = ""


def _listed(credential: Credential) -> Items[CertificateDocument]:
    return Items[CertificateDocument](items=[CertificateDocument.of(each) for each in credential.certificates])


@operation(
    "GET",
    "/credentials/<client_id>/certificates",
    access=BUILDER,
    tag="credentials",
    answer=Items[CertificateDocument],
    etag=True,
)
def list_certificates(context: ApiContext, client_id: str) -> Answer:
    """List which TLS certificates stand for a credential.

    Those that were removed too. The ETag is the credential's.
    """
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), etag=etag_of_credential(credential))


@operation(
    "POST",
    "/credentials/<client_id>/certificates",
    access=BUILDER,
    tag="credentials",
    answer=Items[CertificateDocument],
    status=201,
    body=NewCertificate,
    creates=True,
)
def add_certificate(context: ApiContext, client_id: str, body: NewCertificate) -> Answer:
    """Let one certificate, or those with one name, stand for a credential.

    Whoever has such a certificate acts as the client, so a token adds none to a credential with roles that it does not
    have.
    """
    context.require_roles(context.accounts.credential(client_id, context.owner_id).roles)
    if bool(body.certificate) == bool(body.name):
        msg = "Send a certificate, or a name with its value."
        raise Invalid(msg)
    if body.certificate:
        wanted = certificates.registered(body.certificate, context.now)
    else:
        wanted = certificates.named(body.name, body.value)
    replayed = context.is_replay(
        lambda accounts: certificates.add(accounts, client_id, wanted, owner_id=context.owner_id, **context.who)
    )
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), location=f"/credentials/{client_id}/certificates", replayed=replayed)


@operation(
    "DELETE", "/credentials/<client_id>/certificates/<certificate_id>", access=BUILDER, tag="credentials", edits=True
)
def remove_certificate(context: ApiContext, client_id: str, certificate_id: str) -> Answer:
    """End a condition on certificates, and the tokens that it obtained; If-Match names the credential."""
    certificates.remove(
        context.editing(etag_in(context, client_id)).accounts,
        client_id,
        certificate_id,
        owner_id=context.owner_id,
        **context.who,
    )
    return Answer()
