"""``flask credentials keys`` and ``flask resource-servers keys``: who signs instead of sending a secret."""

from typing import IO

import click

from authserver.actions import client_keys
from authserver.actions.client_authentication import key_addresses
from authserver.cli.arguments import CLIENT, RESOURCE_SERVER
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from authserver.ports.credentials import Credential, KeyRecord
from authserver.rules.client_authentication.trust import published_keys_of
from keys.public_keys import ALGORITHMS, MOST_TEXT, registered

_EXAMPLE = "3b241101-e2bb-4255-8caf-4136c566a962"

credential_keys = Noun("keys", help="Public keys of a credential: its client signs, and no secret exists.")
server_keys = Noun("keys", help="Public keys of an API: it signs at introspection instead of sending its secret.")

KEY_FILE = click.File("r", encoding="utf-8", errors="replace")
ALG = click.option("--alg", type=click.Choice(ALGORITHMS), help="What the key signs with; needed for RSA keys in PEM.")
KEY_COLUMNS = ("thumbprint", "alg", "live", "created_at", "first_used_at", "last_used_at")


def key_document(key: KeyRecord) -> dict[str, object]:
    """A public key as it is printed."""
    known = registered(key.public_jwk)
    return {
        "thumbprint": known.thumbprint,
        "alg": known.alg,
        "kid": known.kid,
        "live": key.ends_at is None,
        "created_at": iso(key.created_at),
        "first_used_at": iso_or_none(key.first_used_at),
        "last_used_at": iso_or_none(key.last_used_at),
        "ends_at": iso_or_none(key.ends_at),
    }


def jwks_uri_of(credential: Credential) -> str | None:
    """Where a client publishes its keys."""
    working = [published_keys_of(each.text) for each in credential.key_addresses if each.ends_at is None]
    return working[0].jwks_uri if working and working[0] else None


def key_text(file: IO[str]) -> str:
    """The content of a file with a key; more than any key has is cut off, and refused as such."""
    return file.read(MOST_TEXT + 1)


@credential_keys.command(
    "add",
    examples=(
        "flask credentials keys add 3b241101-e2bb-4255-8caf-4136c566a962 public.pem",
        "openssl pkey -in key.pem -pubout | flask credentials keys add 3b241101-e2bb-4255-8caf-4136c566a962 -",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.argument("file", type=KEY_FILE)
@ALG
def add_key(client_id: str, file: IO[str], alg: str | None) -> Answer:
    """Add a public key, as PEM or JWK, from a file or from standard input (-); two work at a time."""
    context = command_context()
    key = client_keys.add(context.accounts, client_id, key_text(file), alg or "", **context.who)
    document = key_document(key)
    return Answer(document, fields(document), hint="Compare the thumbprint with the one that the client's owner sees.")


@credential_keys.command("list", examples=("flask credentials keys list 3b241101-e2bb-4255-8caf-4136c566a962",))
@click.argument("client_id", type=CLIENT)
def list_keys(client_id: str) -> Answer:
    """List the public keys of a credential, newest first, removed ones too."""
    context = command_context()
    documents = [key_document(key) for key in context.accounts.credential(client_id).keys]
    return Answer(documents, table(KEY_COLUMNS, documents, empty="It has no key."))


@credential_keys.command(
    "remove",
    dash_ids=True,
    examples=(f"flask credentials keys remove {_EXAMPLE} NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --yes",),
)
@click.argument("client_id", type=CLIENT)
@click.argument("thumbprint")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_key(client_id: str, thumbprint: str, *, yes: bool) -> Answer:
    """Remove a public key; the tokens that it obtained die."""
    confirm(f"Remove the key {thumbprint} of {client_id}?", yes=yes)
    context = command_context()
    client_keys.remove(context.accounts, client_id, thumbprint, **context.who)
    return Answer({"client_id": client_id, "removed": thumbprint}, line("It is removed, and its tokens are dead."))


@credential_keys.command(
    "publish",
    examples=(
        f"flask credentials keys publish {_EXAMPLE} https://client.example.com/jwks.json",
        f"flask credentials keys publish {_EXAMPLE} --none",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.argument("uri", required=False, metavar="URL")
@click.option("--none", "is_none", is_flag=True, help="Take them from nowhere any more; its tokens die.")
def publish_keys(client_id: str, uri: str | None, *, is_none: bool) -> Answer:
    """Take the keys of a client from where it publishes them (`jwks_uri`), so that it rotates them by itself."""
    if bool(uri) == is_none:
        msg = "Give the URL of the JWK set, or --none."
        raise click.UsageError(msg)
    context = command_context()
    if uri:
        key_addresses.publish(context.accounts, client_id, uri, **context.who)
    else:
        key_addresses.withdraw(context.accounts, client_id, **context.who)
    document = {"client_id": client_id, "jwks_uri": uri}
    return Answer(document, fields(document))


@server_keys.command(
    "add",
    examples=(
        "flask resource-servers keys add Reports public.pem",
        "openssl pkey -in key.pem -pubout | flask resource-servers keys add Reports -",
    ),
)
@click.argument("name", type=RESOURCE_SERVER)
@click.argument("file", type=KEY_FILE)
@ALG
def add_server_key(name: str, file: IO[str], alg: str | None) -> Answer:
    """Add a public key, as PEM or JWK, from a file or from standard input (-); two work at a time."""
    context = command_context()
    key = client_keys.add_to_server(context.accounts, name, key_text(file), alg or "", **context.who)
    document = key_document(key)
    return Answer(document, fields(document), hint="Compare the thumbprint with the one that the API's owner sees.")


@server_keys.command("list", examples=("flask resource-servers keys list Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def list_server_keys(name: str) -> Answer:
    """List the public keys of an API, newest first, removed ones too."""
    context = command_context()
    documents = [key_document(key) for key in context.accounts.server_keys(name)]
    columns = ("thumbprint", "alg", "live", "created_at", "ends_at")
    return Answer(documents, table(columns, documents, empty="It has no key."))


@server_keys.command(
    "remove",
    dash_ids=True,
    examples=("flask resource-servers keys remove Reports NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --yes",),
)
@click.argument("name", type=RESOURCE_SERVER)
@click.argument("thumbprint")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_server_key(name: str, thumbprint: str, *, yes: bool) -> Answer:
    """Remove a public key of an API at once."""
    confirm(f"Remove the key {thumbprint} of {name}?", yes=yes)
    context = command_context()
    client_keys.remove_from_server(context.accounts, name, thumbprint, **context.who)
    return Answer({"name": name, "removed": thumbprint}, line("It is removed."))
