"""Roles: list, create, read, preview of a deletion, delete."""

from typing import Annotated, Literal

from pydantic import Field

from authserver.actions import roles as role_actions
from authserver.api.context import ApiContext
from authserver.api.cursors import part
from authserver.api.operations import USERS, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.resources.previews import PreviewDocument
from authserver.api.schemas import Items, Model, Paged
from authserver.ports.console_reads.users import RoleRow
from authserver.ports.errors import AlreadyDone, Invalid, NotFound
from authserver.ports.transaction import Transaction
from authserver.ports.users import Role

Kind = Literal["operational", "builder"]
Permission = Literal["users:manage", "settings:manage", "resource-servers:manage", "security:view", "keys:manage"]
"""``rules.permission.PERMISSIONS``."""


class RoleDocument(Model):
    """A role, and who has it."""

    id: str
    name: str
    kind: str
    permissions: list[str]
    holders: int = Field(description="How many users hold it.")
    credentials: int = Field(description="How many credentials were given it.")

    @classmethod
    def of(cls, row: RoleRow) -> "RoleDocument":
        """As the list has it."""
        role = row.role
        return cls(
            id=role.id,
            name=role.name,
            kind=role.kind,
            permissions=list(role.permissions),
            holders=row.holders,
            credentials=row.credentials,
        )


class NewRole(Model):
    """What a role is; only builder roles carry permissions."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Kind
    permissions: Annotated[list[Permission], Field(max_length=16, default_factory=list)]


def etag_of_role(role: Role) -> str:
    """Names what a role is: it is made and deleted, never edited."""
    return etag_of(role.id, role.name, role.kind, list(role.permissions))


def _row(context: ApiContext, role_id: str) -> RoleRow:
    for row in context.store.user_reads.role_rows(role_id):
        return row
    raise NotFound(role_id)


@operation("GET", "/roles", access=USERS, tag="roles", answer=Items[RoleDocument], query=Paged)
def list_roles(context: ApiContext, query: Paged) -> Answer:
    """List roles by name."""
    rows = sorted(context.store.user_reads.role_rows(), key=lambda row: row.role.name)
    shown, more = part(rows, query, query.cursor, query.limit, [row.role.name for row in rows])
    return Answer(Items[RoleDocument](items=[RoleDocument.of(row) for row in shown], next_cursor=more))


@operation(
    "POST",
    "/roles",
    access=USERS,
    tag="roles",
    answer=RoleDocument,
    status=201,
    body=NewRole,
    creates=True,
    etag=True,
)
def create_role(context: ApiContext, body: NewRole) -> Answer:
    """Create a role."""
    if body.permissions and body.kind != "builder":
        msg = "only builder roles carry permissions"
        raise Invalid(msg)
    replayed = False
    try:
        role_id = role_actions.create_role(
            context.creating().accounts, body.name, body.kind, body.permissions, **context.who
        ).id
    except AlreadyDone as done:
        role_id, replayed = done.subject, True
    row = _row(context, role_id)
    return Answer(RoleDocument.of(row), etag=etag_of_role(row.role), location=f"/roles/{role_id}", replayed=replayed)


@operation("GET", "/roles/<role_id>", access=USERS, tag="roles", answer=RoleDocument, etag=True)
def read_role(context: ApiContext, role_id: str) -> Answer:
    """Show one role."""
    row = _row(context, role_id)
    return Answer(RoleDocument.of(row), etag=etag_of_role(row.role))


@operation("GET", "/roles/<role_id>/preview", access=USERS, tag="roles", answer=PreviewDocument)
def preview_role(context: ApiContext, role_id: str) -> Answer:
    """Show what its deletion would end."""
    return Answer(
        PreviewDocument.of(context.store.user_reads.preview_delete_role(_row(context, role_id).role.name, context.now))
    )


@operation("DELETE", "/roles/<role_id>", access=USERS, tag="roles", edits=True)
def delete_role(context: ApiContext, role_id: str) -> Answer:
    """Delete a role.

    It is taken from all who hold it, and every live token of theirs ends. Nobody loses the last operational role, and
    the last one who can manage users stays.
    """
    name = _row(context, role_id).role.name

    def etag(tx: Transaction) -> str:
        role = tx.role(name)
        if role.id != role_id:
            raise NotFound(role_id)
        return etag_of_role(role)

    role_actions.delete_role(context.editing(etag).accounts, name, keep_administrator=True, **context.who)
    return Answer()
