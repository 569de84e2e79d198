"""All credentials, for the security team: list, and switch several off at once after a look at what dies."""

from typing import Annotated, Final, Literal

from pydantic import Field

from authserver.actions.credentials import MAX_AT_ONCE, disable_many
from authserver.api.context import ApiContext
from authserver.api.operations import INVENTORY, SECURITY, Answer, operation
from authserver.api.resources.credentials import CredentialDocument, list_part, order_of
from authserver.api.resources.previews import PreviewDocument
from authserver.api.schemas import Items, Model, Paged
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.rules.credential_status import Status

_MOST_DAYS: Final = 3650
Days = Annotated[int, Field(ge=1, le=_MOST_DAYS)]
InventoryOrder = Literal[
    "name", "-name", "owner", "-owner", "expires_at", "-expires_at",
    "created_at", "-created_at", "last_used_at", "-last_used_at",
]  # fmt: skip
"""What the list is sorted by; with ``-`` the other way round."""


class InventoryQuery(Paged):
    """Which credentials to list, of whatever owner; all conditions hold together."""

    q: Annotated[str, Field(max_length=100, description="Part of a name, owner or role, or of a client id.")] = ""
    status: Status | None = None
    never_used: bool = False
    owner_disabled: bool = False
    older_than_days: Days | None = None
    unused_days: Days | None = None
    sort: InventoryOrder = "-created_at"


class Chosen(Model):
    """Which credentials."""

    client_ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=MAX_AT_ONCE)
    ]


class Disabled(Model):
    """What was done."""

    disabled: int


@operation(
    "GET",
    "/inventory/credentials",
    access=SECURITY,
    tag="inventory",
    answer=Items[CredentialDocument],
    query=InventoryQuery,
)
def list_inventory(context: ApiContext, query: InventoryQuery) -> Answer:
    """List credentials of all owners; metadata only."""
    order, descending = order_of(query.sort)
    credential_query = CredentialQuery(
        search=query.q.strip(),
        status=query.status,
        never_used=query.never_used,
        older_than_days=query.older_than_days,
        unused_days=query.unused_days,
        owner_disabled=query.owner_disabled,
        order=order,
        descending=descending,
    )
    return Answer(list_part(context, query, credential_query, None))


@operation(
    "POST",
    "/inventory/credentials/preview",
    access=INVENTORY,
    tag="inventory",
    answer=PreviewDocument,
    body=Chosen,
)
def preview_inventory(context: ApiContext, body: Chosen) -> Answer:
    """Show what would end if these credentials were disabled."""
    return Answer(
        PreviewDocument.of(context.store.user_reads.preview_disable_credentials(body.client_ids, context.now))
    )


@operation("POST", "/inventory/credentials/disable", access=INVENTORY, tag="inventory", answer=Disabled, body=Chosen)
def disable_inventory(context: ApiContext, body: Chosen) -> Answer:
    """Disable several credentials, all or none, whoever owns them."""
    disable_many(context.accounts, body.client_ids, **context.who)
    return Answer(Disabled(disabled=len(body.client_ids)))
