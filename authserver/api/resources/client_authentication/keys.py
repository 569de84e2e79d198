"""The public keys of a credential, with which its client proves itself without a secret (RFC 7523 §2.2)."""

import json
from typing import Annotated, Any

from pydantic import Field

from authserver.actions import client_keys
from authserver.actions import credentials as credential_actions
from authserver.actions.client_authentication import key_addresses
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, Answer, operation
from authserver.api.resources.credentials import etag_in, etag_of_credential
from authserver.api.schemas import InstantOut, Items, Model
from authserver.ports.credentials import Credential, KeyRecord
from keys.public_keys import registered


class ClientKeyDocument(Model):
    """A public key of a client."""

    thumbprint: str = Field(description="RFC 7638; compare it with your own.")
    alg: str
    public_jwk: dict[str, Any]
    live: bool
    created_at: InstantOut
    ends_at: InstantOut | None
    first_used_at: InstantOut | None
    last_used_at: InstantOut | None
    last_used_peer: str | None

    @classmethod
    def of(cls, key: KeyRecord) -> "ClientKeyDocument":
        """As the store has it."""
        known = registered(key.public_jwk)
        return cls(
            thumbprint=known.thumbprint,
            alg=known.alg,
            public_jwk=json.loads(key.public_jwk),
            live=key.ends_at is None,
            created_at=key.created_at,
            ends_at=key.ends_at,
            first_used_at=key.first_used_at,
            last_used_at=key.last_used_at,
            last_used_peer=key.last_used_peer,
        )


class NewClientKey(Model):
    """A public key; never the private one."""

    public_key: Annotated[str, Field(min_length=1, max_length=16_384, description="As PEM, or a JWK as text.")]
    alg: Annotated[str, Field(max_length=16, description="What it signs with; needed where the key does not say.")] = ""


def _listed(credential: Credential) -> Items[ClientKeyDocument]:
    return Items[ClientKeyDocument](items=[ClientKeyDocument.of(each) for each in credential.keys])


@operation(
    "GET",
    "/credentials/<client_id>/keys",
    access=BUILDER,
    tag="credentials",
    answer=Items[ClientKeyDocument],
    etag=True,
)
def list_client_keys(context: ApiContext, client_id: str) -> Answer:
    """List the public keys of a credential.

    Those that have ended too. The ETag is the credential's.
    """
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), etag=etag_of_credential(credential))


@operation(
    "POST",
    "/credentials/<client_id>/keys",
    access=BUILDER,
    tag="credentials",
    answer=Items[ClientKeyDocument],
    status=201,
    body=NewClientKey,
    creates=True,
)
def add_client_key(context: ApiContext, client_id: str, body: NewClientKey) -> Answer:
    """Add a public key.

    Two work at a time. Whoever has the private half acts as the client, so a token adds none to a credential with
    roles that it does not have.
    """
    context.require_roles(context.accounts.credential(client_id, context.owner_id).roles)
    replayed = context.is_replay(
        lambda accounts: client_keys.add(
            accounts, client_id, body.public_key, body.alg, owner_id=context.owner_id, **context.who
        )
    )
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(_listed(credential), location=f"/credentials/{client_id}/keys", replayed=replayed)


@operation("DELETE", "/credentials/<client_id>/keys/<thumbprint>", access=BUILDER, tag="credentials", edits=True)
def remove_client_key(context: ApiContext, client_id: str, thumbprint: str) -> Answer:
    """End a public key, and the tokens that it obtained; If-Match names the credential."""
    client_keys.remove(
        context.editing(etag_in(context, client_id)).accounts,
        client_id,
        thumbprint,
        owner_id=context.owner_id,
        **context.who,
    )
    return Answer()


class KeyAddress(Model):
    """Where a client publishes its own keys."""

    jwks_uri: Annotated[str, Field(min_length=1, max_length=255, description="Of a JWK set, by https.")]


@operation("PUT", "/credentials/<client_id>/jwks-uri", access=BUILDER, tag="credentials", body=KeyAddress, edits=True)
def publish_keys(context: ApiContext, client_id: str, body: KeyAddress) -> Answer:
    """Take the keys of a client from where it publishes them, so that it rotates them by itself.

    If-Match names the credential. Whoever writes there acts as the client, so a token names none for a credential with
    roles that it does not have.
    """
    context.require_roles(context.accounts.credential(client_id, context.owner_id).roles)
    editing = context.editing(etag_in(context, client_id)).accounts
    key_addresses.publish(editing, client_id, body.jwks_uri, owner_id=context.owner_id, **context.who)
    return Answer()


@operation("DELETE", "/credentials/<client_id>/jwks-uri", access=BUILDER, tag="credentials", edits=True)
def withdraw_keys(context: ApiContext, client_id: str) -> Answer:
    """Take its keys from no address any more; the tokens that they obtained die. If-Match names the credential."""
    key_addresses.withdraw(
        context.editing(etag_in(context, client_id)).accounts, client_id, owner_id=context.owner_id, **context.who
    )
    return Answer()


@operation("DELETE", "/credentials/<client_id>/secrets", access=BUILDER, tag="credentials", edits=True)
def end_secrets(context: ApiContext, client_id: str) -> Answer:
    """End all secrets of a credential that has a key, so that none can be copied; If-Match names the credential."""
    credential_actions.end_secrets(
        context.editing(etag_in(context, client_id)).accounts, client_id, owner_id=context.owner_id, **context.who
    )
    return Answer()
