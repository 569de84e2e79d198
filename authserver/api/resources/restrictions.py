"""What a credential is held to beside its roles: where from, for whom, how long, how many, how often, bound to what."""

from typing import Annotated

from pydantic import Field

from authserver.actions import credentials as credential_actions
from authserver.api.context import ApiContext
from authserver.api.operations import BUILDER, Answer, operation
from authserver.api.resources.credentials import etag_in, etag_of_credential
from authserver.api.schemas import Model
from authserver.ports.credentials import Credential
from authserver.ports.errors import Invalid
from authserver.rules.client_authentication.restrictions import (
    MAX_AUDIENCES,
    MAX_LIFETIME,
    MAX_NETWORKS,
    MAX_RATE,
    MAX_SESSIONS,
    restrictions,
    restrictions_of,
)

Network = Annotated[str, Field(max_length=64)]
Audience = Annotated[str, Field(max_length=255)]


class RestrictionsDocument(Model):
    """All restrictions of a credential; without a member it is not restricted so."""

    networks: list[Network] = Field(
        default_factory=list, max_length=MAX_NETWORKS, description="Where requests may come from; empty: anywhere."
    )
    audiences: list[Audience] = Field(
        default_factory=list, max_length=MAX_AUDIENCES, description="Which APIs it gets tokens for; empty: any."
    )
    max_lifetime_seconds: Annotated[
        int, Field(ge=0, le=MAX_LIFETIME, description="How long its tokens live; 0: the general maximum.")
    ] = 0
    bound: Annotated[
        bool, Field(description="Whether its tokens must be bound to a key (DPoP) or a certificate (mTLS).")
    ] = False
    max_sessions: Annotated[
        int, Field(ge=0, le=MAX_SESSIONS, description="How many of its tokens may live at once; 0: any number.")
    ] = 0
    end_oldest: Annotated[
        bool, Field(description="Whether one session more ends the oldest; otherwise it is refused (429).")
    ] = False
    requests_per_minute: Annotated[
        int, Field(ge=0, le=MAX_RATE, description="How many tokens it may ask for in a minute; 0: any number.")
    ] = 0

    @classmethod
    def of(cls, credential: Credential) -> "RestrictionsDocument":
        """As the store has it.

        Raises:
            Invalid: they were written by a newer version.
        """
        try:
            found = restrictions_of(credential.restrictions)
        except ValueError as error:
            raise Invalid(str(error)) from error
        return cls(
            networks=[str(each) for each in found.networks],
            audiences=sorted(found.audiences),
            max_lifetime_seconds=found.lifetime,
            bound=found.bound,
            max_sessions=found.sessions,
            end_oldest=found.end_oldest,
            requests_per_minute=found.rate,
        )


@operation(
    "GET",
    "/credentials/<client_id>/restrictions",
    access=BUILDER,
    tag="credentials",
    answer=RestrictionsDocument,
    etag=True,
)
def show_restrictions(context: ApiContext, client_id: str) -> Answer:
    """Show what a credential is held to; the ETag is the credential's."""
    credential = context.accounts.credential(client_id, context.owner_id)
    return Answer(RestrictionsDocument.of(credential), etag=etag_of_credential(credential))


@operation(
    "PUT",
    "/credentials/<client_id>/restrictions",
    access=BUILDER,
    tag="credentials",
    answer=RestrictionsDocument,
    body=RestrictionsDocument,
    edits=True,
)
def replace_restrictions(context: ApiContext, client_id: str, body: RestrictionsDocument) -> Answer:
    """Hold a credential to these restrictions and no others; its tokens die. If-Match names the credential.

    Whoever lifts a restriction gives more than there was, so a token lifts none of a credential with roles that it does
    not have.
    """
    context.require_roles(context.accounts.credential(client_id, context.owner_id).roles)
    try:
        wanted = restrictions(
            body.networks,
            body.audiences,
            body.max_lifetime_seconds,
            bound=body.bound,
            sessions=body.max_sessions,
            end_oldest=body.end_oldest,
            rate=body.requests_per_minute,
        )
    except ValueError as error:
        raise Invalid(str(error)) from error
    editing = context.editing(etag_in(context, client_id)).accounts
    changed = credential_actions.restrict(editing, client_id, wanted, owner_id=context.owner_id, **context.who)
    return Answer(RestrictionsDocument.of(changed))
