"""All credentials, for the security team: list, preview, disable several at once."""

from dataclasses import asdict
from typing import Annotated, Final, Literal

from pydantic import Field

from authserver.actions.credentials import MAX_AT_ONCE, disable_many
from authserver.api.context import ApiContext
from authserver.api.operations import INVENTORY, SECURITY, Answer, operation
from authserver.api.resources.credentials import CredentialDocument, list_part, order_of
from authserver.api.resources.previews import PreviewDocument
from authserver.api.schemas import InstantOut, Items, Model, Paged, Query
from authserver.ports.console_reads.credentials import CredentialQuery, SharedSecrets
from authserver.ports.events.unused import UnusedPolicy
from authserver.rules.credential_status import Status
from authserver.rules.lifetime import DAY

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


class UnusedQuery(Query):
    """Which policy, and how far ahead."""

    days: Annotated[
        int | None, Field(ge=1, le=_MOST_DAYS, description="As if `unused_disable_days` were this, chosen now.")
    ] = None
    within_days: Annotated[int, Field(ge=0, le=_MOST_DAYS, description="Disabled at the latest then.")] = 30
    limit: Annotated[int, Field(ge=1, le=1000, description="How many items at most.")] = 200


class UnusedDocument(Model):
    """A credential that nobody uses."""

    client_id: str
    name: str
    owner: str
    last_used_at: InstantOut | None
    disables_at: InstantOut


@operation(
    "GET", "/inventory/unused", access=SECURITY, tag="inventory", answer=Items[UnusedDocument], query=UnusedQuery
)
def forecast_unused(context: ApiContext, query: UnusedQuery) -> Answer:
    """Forecast which credentials the policy disables because nobody uses them, the soonest first."""
    reads = context.store.unused
    policy = reads.policy() if query.days is None else UnusedPolicy(query.days, context.now)
    items = [
        UnusedDocument(
            client_id=each.client_id,
            name=each.name,
            owner=each.owner,
            last_used_at=each.last_used_at,
            disables_at=each.disables_at,
        )
        for each in reads.disabled_by(policy, context.now + query.within_days * DAY, query.limit)
    ]
    return Answer(Items[UnusedDocument](items=items))


class SecretHolderDocument(Model):
    """An owner whose credentials use a shared secret."""

    owner: str
    credentials: int
    only_secret: int


class SecretApiDocument(Model):
    """An API that was called in the last 30 days with tokens which a shared secret obtained."""

    name: str
    audience: str
    credentials: int


class SharedSecretsDocument(Model):
    """How many live credentials still use a shared secret, by owner and by API."""

    credentials: Annotated[int, Field(description="All live credentials that can authenticate.")]
    with_secret: Annotated[int, Field(description="Those that have a live shared secret.")]
    only_secret: Annotated[int, Field(description="Those of them that would stop under `client_secrets_allowed` 0.")]
    owners: list[SecretHolderDocument]
    apis: list[SecretApiDocument]

    @classmethod
    def of(cls, report: SharedSecrets) -> "SharedSecretsDocument":
        """As the store counted."""
        return cls(
            credentials=report.credentials,
            with_secret=report.with_secret,
            only_secret=report.only_secret,
            owners=[SecretHolderDocument(**asdict(each)) for each in report.owners],
            apis=[SecretApiDocument(**asdict(each)) for each in report.apis],
        )


class SharedSecretsQuery(Query):
    """How much to show."""

    limit: Annotated[int, Field(ge=1, le=1000, description="How many owners, and how many APIs, at most.")] = 100


@operation(
    "GET",
    "/inventory/shared-secrets",
    access=SECURITY,
    tag="inventory",
    answer=SharedSecretsDocument,
    query=SharedSecretsQuery,
)
def report_shared_secrets(context: ApiContext, query: SharedSecretsQuery) -> Answer:
    """Count the credentials that still use a shared secret, in all, by owner and by API, the most first."""
    return Answer(SharedSecretsDocument.of(context.store.shared_secrets.report(context.now, query.limit)))


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


@operation(
    "POST",
    "/inventory/credentials/disable",
    access=INVENTORY,
    tag="inventory",
    answer=Disabled,
    body=Chosen,
    creates=True,
)
def disable_inventory(context: ApiContext, body: Chosen) -> Answer:
    """Disable several credentials, all or none, whoever owns them."""
    replayed = context.is_replay(lambda accounts: disable_many(accounts, body.client_ids, **context.who))
    return Answer(Disabled(disabled=len(body.client_ids)), replayed=replayed)
