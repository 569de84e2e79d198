"""Application credentials of the owner in whose name the caller acts: list, create, read, edit, switch, delete."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from authserver.actions import credentials as credential_actions
from authserver.api.context import ApiContext
from authserver.api.cursors import decode, encode
from authserver.api.operations import BUILDER, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import InstantIn, InstantOut, Items, Model, Paged
from authserver.ports.console_reads.credentials import CredentialOrder, CredentialQuery, CredentialRow
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import AlreadyDone, Invalid
from authserver.ports.transaction import Transaction
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant, over
from authserver.rules.names import MAX_DISPLAY_NAME

Name = Annotated[str, Field(min_length=1, max_length=MAX_DISPLAY_NAME)]
RoleName = Annotated[str, Field(min_length=1, max_length=64)]
RoleNames = Annotated[list[RoleName], Field(min_length=1, max_length=100)]
Search = Annotated[str, Field(max_length=100, description="Part of a name or role, or the start of a client id.")]
Order = Literal[
    "name", "-name", "expires_at", "-expires_at", "created_at", "-created_at", "last_used_at", "-last_used_at"
]
"""What a list is sorted by; with ``-`` the other way round."""


class SecretDocument(Model):
    """One secret, without the secret."""

    id: str
    hint: str = Field(description="How the secret begins.")
    live: bool
    created_at: InstantOut
    ends_at: InstantOut | None = Field(description="When it ends, if that is known.")
    last_used_at: InstantOut | None
    last_used_peer: str | None = Field(description="The address it was last used from.")
    last_used_agent: str | None

    @classmethod
    def of(cls, secret: SecretRecord, now: Instant) -> "SecretDocument":
        """As the store has it."""
        return cls(
            id=secret.id,
            hint=secret.hint,
            live=secret.ends_at is None or not over(now, secret.ends_at),
            created_at=secret.created_at,
            ends_at=secret.ends_at,
            last_used_at=secret.last_used_at,
            last_used_peer=secret.last_used_peer,
            last_used_agent=secret.last_used_agent,
        )


class CredentialDocument(Model):
    """An application credential, without its secrets."""

    client_id: str
    name: str
    owner: str
    roles: list[str] = Field(description="As chosen when it was created; they never change.")
    lost_roles: list[str] = Field(description="Those of them that its owner no longer holds: its tokens lack them.")
    statuses: list[Status] = Field(description="All that hold, the most urgent first.")
    expires_at: InstantOut
    created_at: InstantOut
    disabled_at: InstantOut | None
    last_used_at: InstantOut | None = Field(description="Of its secrets and tokens.")
    secrets: list[SecretDocument] = Field(description="Those that live, the newest first.")

    @classmethod
    def of(cls, row: CredentialRow, now: Instant) -> "CredentialDocument":
        """As the lists have it."""
        return cls(
            client_id=row.client_id,
            name=row.name,
            owner=row.owner,
            roles=list(row.chosen),
            lost_roles=list(row.lost),
            statuses=list(row.statuses),
            expires_at=row.expires_at,
            created_at=row.created_at,
            disabled_at=row.disabled_at,
            last_used_at=row.last_used_at,
            secrets=[SecretDocument.of(each, now) for each in row.secrets],
        )


class CreatedCredential(CredentialDocument):
    """A credential and its secret."""

    client_secret: str | None = Field(description="Shown this once; null where the request was answered before.")


class NewCredential(Model):
    """What a credential begins with."""

    name: Name
    expires_at: InstantIn
    roles: RoleNames = Field(description="Roles of the owner that the token of the request has too.")


class CredentialChanges(Model):
    """What shall be otherwise; what is left out stays."""

    name: Name | None = None
    expires_at: InstantIn | None = None


class CredentialsQuery(Paged):
    """Which credentials to list, and in what order."""

    q: Search = ""
    status: Status | None = None
    never_used: bool = False
    sort: Order = "-created_at"


_ORDERS: Final[dict[str, CredentialOrder]] = {
    name: name for name in ("name", "owner", "expires_at", "created_at", "last_used_at")
}


def list_part(
    context: ApiContext, query: Paged, wanted: CredentialQuery, owner_id: str | None
) -> Items[CredentialDocument]:
    """The part of a list of credentials that ``query`` asks for."""
    place = decode(query, query.cursor, str)
    rows = context.store.credential_reads.part(
        wanted, context.now, query.limit + 1, after=str(place[0]) if place else "", owner_id=owner_id
    )
    shown = rows[: query.limit]
    more = encode(query, shown[-1].client_id) if len(rows) > query.limit else None
    return Items[CredentialDocument](items=[CredentialDocument.of(row, context.now) for row in shown], next_cursor=more)


def order_of(sort: str) -> tuple[CredentialOrder, bool]:
    """What ``sort`` orders by, and whether downwards."""
    return _ORDERS[sort.removeprefix("-")], sort.startswith("-")


def etag_of_credential(credential: Credential) -> str:
    """Names what can be edited: not when it was last used."""
    secrets = [[each.id, each.ends_at] for each in credential.secrets]
    keys = [[each.id, each.ends_at] for each in credential.keys]
    others = (*credential.trusts, *credential.key_addresses, *credential.certificates)
    keys += [[each.id, each.ends_at] for each in others]
    state = (credential.name, credential.expires_at, credential.disabled_at, credential.version)
    return etag_of(credential.client_id, *state, secrets, keys)


def etag_in(context: ApiContext, client_id: str) -> Callable[[Transaction], str]:
    """Reads the ETag of a credential of the caller's owner inside a change."""
    return lambda tx: etag_of_credential(tx.credential(client_id, context.owner_id))


def show(context: ApiContext, client_id: str) -> Answer:
    """Answer one credential of the caller's owner, with its ETag."""
    credential = context.accounts.credential(client_id, context.owner_id)
    row = context.store.credential_reads.row(client_id, context.now, owner_id=context.owner_id)
    return Answer(CredentialDocument.of(row, context.now), etag=etag_of_credential(credential))


@operation(
    "GET",
    "/credentials",
    access=BUILDER,
    tag="credentials",
    answer=Items[CredentialDocument],
    query=CredentialsQuery,
)
def list_credentials(context: ApiContext, query: CredentialsQuery) -> Answer:
    """List credentials.

    Those that were deleted are gone.
    """
    order, descending = order_of(query.sort)
    credential_query = CredentialQuery(
        search=query.q.strip(),
        status=query.status,
        never_used=query.never_used,
        order=order,
        descending=descending,
    )
    return Answer(list_part(context, query, credential_query, context.owner_id))


@operation(
    "POST",
    "/credentials",
    access=BUILDER,
    tag="credentials",
    answer=CreatedCredential,
    status=201,
    body=NewCredential,
    creates=True,
    etag=True,
)
def create_credential(context: ApiContext, body: NewCredential) -> Answer:
    """Create a credential.

    Its secret is in this answer and nowhere else. A token hands out no role that it does not have itself.
    """
    context.require_roles(tuple(body.roles))
    secret = None
    try:
        made = credential_actions.create(
            context.creating().accounts,
            context.caller.user.username,
            body.name,
            body.expires_at,
            body.roles,
            pepper=context.store.pepper,
            **context.who,
        )
        client_id, secret = made.credential.client_id, made.secret
    except AlreadyDone as done:
        client_id = done.subject
    shown = show(context, client_id)
    document = CreatedCredential(**_members(shown.document), client_secret=secret)
    return Answer(document, etag=shown.etag, location=f"/credentials/{client_id}", replayed=secret is None)


@operation("GET", "/credentials/<client_id>", access=BUILDER, tag="credentials", answer=CredentialDocument, etag=True)
def read_credential(context: ApiContext, client_id: str) -> Answer:
    """Show one credential."""
    return show(context, client_id)


@operation(
    "PATCH",
    "/credentials/<client_id>",
    access=BUILDER,
    tag="credentials",
    answer=CredentialDocument,
    body=CredentialChanges,
    edits=True,
    etag=True,
)
def edit_credential(context: ApiContext, client_id: str, body: CredentialChanges) -> Answer:
    """Change name or expiry.

    An earlier expiry also shortens live tokens.
    """
    if body.name is None and body.expires_at is None:
        msg = "nothing to change; give a new name or expiry"
        raise Invalid(msg)
    credential_actions.edit(
        context.editing(etag_in(context, client_id)).accounts,
        client_id,
        name=body.name,
        expires_at=body.expires_at,
        owner_id=context.owner_id,
        **context.who,
    )
    return show(context, client_id)


@operation(
    "POST",
    "/credentials/<client_id>/disable",
    access=BUILDER,
    tag="credentials",
    answer=CredentialDocument,
    edits=True,
    etag=True,
)
def disable_credential(context: ApiContext, client_id: str) -> Answer:
    """Disable a credential.

    Its tokens end for good, and it gets no new ones.
    """
    credential_actions.disable(
        context.editing(etag_in(context, client_id)).accounts, client_id, owner_id=context.owner_id, **context.who
    )
    return show(context, client_id)


@operation(
    "POST",
    "/credentials/<client_id>/enable",
    access=BUILDER,
    tag="credentials",
    answer=CredentialDocument,
    edits=True,
    etag=True,
)
def enable_credential(context: ApiContext, client_id: str) -> Answer:
    """Enable a credential again.

    Tokens from before stay dead.
    """
    credential_actions.enable(
        context.editing(etag_in(context, client_id)).accounts, client_id, owner_id=context.owner_id, **context.who
    )
    return show(context, client_id)


@operation("DELETE", "/credentials/<client_id>", access=BUILDER, tag="credentials", edits=True)
def delete_credential(context: ApiContext, client_id: str) -> Answer:
    """Delete a credential for good.

    Its tokens end, and its id is never used again.
    """
    credential_actions.delete(
        context.editing(etag_in(context, client_id)).accounts, client_id, owner_id=context.owner_id, **context.who
    )
    return Answer()


def _members(document: BaseModel | None) -> dict[str, Any]:
    """The members of a document as they are, not as JSON."""
    return {} if document is None else {name: getattr(document, name) for name in type(document).model_fields}
