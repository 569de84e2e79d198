"""``flask credentials certificates``: which TLS certificates stand for a client (mTLS, RFC 8705)."""

from typing import IO

import click

from authserver.actions.client_authentication import certificates
from authserver.cli.arguments import CLIENT
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import HumanText, fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from authserver.ports.credentials import TrustRecord
from authserver.rules.client_authentication.certificate import THUMBPRINT, CertificateCondition, condition_of
from keys.certificates import MOST_TEXT

_EXAMPLE = "3b241101-e2bb-4255-8caf-4136c566a962"

credential_certificates = Noun("certificates", help="TLS certificates of a client: it authenticates by its connection.")

CERTIFICATE_COLUMNS = ("id", "method", "name", "value", "valid_until", "live", "last_used_at")


def certificate_document(record: TrustRecord) -> dict[str, object]:
    """A condition as it is printed."""
    try:
        condition = condition_of(record.text)
    except ValueError:
        condition = CertificateCondition("written by a newer version", "")
    return {
        "id": record.id,
        "method": condition.method,
        "name": condition.name,
        "value": condition.value,
        "subject": condition.subject or None,
        "valid_until": iso_or_none(condition.not_after or None),
        "live": record.ends_at is None,
        "created_at": iso(record.created_at),
        "last_used_at": iso_or_none(record.last_used_at),
        "ends_at": iso_or_none(record.ends_at),
    }


def certificate_rows(documents: list[dict[str, object]]) -> HumanText:
    """Conditions as a table, newest first."""
    return table(CERTIFICATE_COLUMNS, documents, empty="No certificate stands for it.")


@credential_certificates.command(
    "add",
    examples=(
        f"flask credentials certificates add {_EXAMPLE} cert.pem",
        f"flask credentials certificates add {_EXAMPLE} --subject-dn CN=payroll,O=Acme,C=DE",
        f"flask credentials certificates add {_EXAMPLE} --san-uri spiffe://example.org/payroll",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"), required=False)
@click.option("--subject-dn", metavar="DN", help="The subject of its certificates, as in RFC 4514.")
@click.option("--san-dns", metavar="HOST", help="A DNS name that they have.")
@click.option("--san-uri", metavar="URI", help="A URI that they have.")
@click.option("--san-ip", metavar="ADDRESS", help="An IP address that they have.")
@click.option("--san-email", metavar="ADDRESS", help="An e-mail address that they have.")
def add_certificate(client_id: str, file: IO[str] | None, **names: str | None) -> Answer:
    """Let one certificate stand for a credential, from a file or from standard input (-), or those with one name.

    A name counts on certificates of the authorities of this server alone (AUTHSERVER_CLIENT_CA).
    """
    given = [(name, value) for name, value in names.items() if value]
    if (file is not None) + len(given) != 1:
        msg = "Give a file with the certificate, or one name that certificates of an authority have."
        raise click.UsageError(msg)
    context = command_context()
    if file is not None:
        wanted = certificates.registered(file.read(MOST_TEXT + 1), context.now)
    else:
        wanted = certificates.named(*given[0])
    document = certificate_document(certificates.add(context.accounts, client_id, wanted, **context.who))
    hint = "Compare the value with x5t#S256 as the client's owner sees it."
    return Answer(document, fields(document), hint=hint if wanted.name == THUMBPRINT else "")


@credential_certificates.command("list", examples=(f"flask credentials certificates list {_EXAMPLE}",))
@click.argument("client_id", type=CLIENT)
def list_certificates(client_id: str) -> Answer:
    """List which certificates stand for a credential, newest first, removed ones too."""
    documents = [certificate_document(each) for each in command_context().accounts.credential(client_id).certificates]
    return Answer(documents, certificate_rows(documents))


@credential_certificates.command(
    "remove",
    examples=(f"flask credentials certificates remove {_EXAMPLE} crt_0c1b2a39485746558493a2b1c0d9e8f7 --yes",),
)
@click.argument("client_id", type=CLIENT)
@click.argument("certificate_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_certificate(client_id: str, certificate_id: str, *, yes: bool) -> Answer:
    """Remove a certificate or a name; the tokens that it obtained die."""
    confirm(f"Remove the certificate {certificate_id} of {client_id}?", yes=yes)
    context = command_context()
    certificates.remove(context.accounts, client_id, certificate_id, **context.who)
    return Answer({"client_id": client_id, "removed": certificate_id}, line("It is removed, and its tokens are dead."))
