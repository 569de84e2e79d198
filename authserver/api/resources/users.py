"""Users: list, create, read, disable, enable, one-time links; assign roles, and preview what a change ends."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.api.context import ApiContext
from authserver.api.cursors import decode, encode
from authserver.api.operations import USERS, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.problems import Problem
from authserver.api.resources.previews import PreviewDocument
from authserver.api.schemas import InstantOut, Items, Model, Paged, Query
from authserver.ports.console_reads.users import Preview, UserQuery
from authserver.ports.errors import AlreadyDone, Conflict, Invalid, NotFound
from authserver.ports.transaction import Transaction
from authserver.ports.users import Role, User

RoleName = Annotated[str, Field(min_length=1, max_length=64)]


class HeldRole(Model):
    """A role that a user holds."""

    id: str
    name: str
    kind: str
    permissions: list[str]


class UserDocument(Model):
    """A user."""

    id: str
    username: str
    roles: list[HeldRole]
    role_version: int = Field(description="Raised by every change of roles, which ends the tokens from before.")
    created_at: InstantOut
    disabled_at: InstantOut | None

    @classmethod
    def of(cls, user: User) -> "UserDocument":
        """As the store has it."""
        held = [
            HeldRole(id=role.id, name=role.name, kind=role.kind, permissions=list(role.permissions))
            for role in sorted(user.roles, key=lambda role: role.name)
        ]
        return cls(
            id=user.id,
            username=user.username,
            roles=held,
            role_version=user.role_version,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
        )


class ListedUser(UserDocument):
    """A user in a list."""

    credentials: int = Field(description="How many credentials it has that are not deleted.")


class NewUser(Model):
    """What a user begins with; one of the roles is operational."""

    username: Annotated[str, Field(min_length=1, max_length=128)]
    roles: Annotated[list[RoleName], Field(min_length=1, max_length=100)]


class Assignment(Model):
    """The role that shall be assigned."""

    role: RoleName = Field(description="Its name.")


class UsersQuery(Paged):
    """Which users to list."""

    q: Annotated[str, Field(max_length=100, description="Part of the user name.")] = ""
    role: Annotated[str, Field(max_length=64, description="Only those who hold it.")] = ""
    disabled: bool | None = None


class UserPreviewQuery(Query):
    """Which change to preview."""

    change: Literal["disable", "grant", "revoke"]
    role: Annotated[str, Field(max_length=64, description="The role that would be revoked.")] = ""


class LoginLinkDocument(Model):
    """A link that signs a user in to the console once."""

    url: str | None = Field(
        description="Shown this once; whoever has it signs in as the user. Null where the request was answered before."
    )
    expires_at: InstantOut | None


def etag_of_user(user: User) -> str:
    """Names what can be changed of a user."""
    return etag_of(user.id, user.role_version, user.disabled_at, sorted(role.id for role in user.roles))


def show(context: ApiContext, username: str) -> Answer:
    """Answer one user with its ETag."""
    user = context.accounts.user(username)
    return Answer(UserDocument.of(user), etag=etag_of_user(user))


def _etag_in(username: str) -> Callable[[Transaction], str]:
    return lambda tx: etag_of_user(tx.user(username))


@operation("GET", "/users", access=USERS, tag="users", answer=Items[ListedUser], query=UsersQuery)
def list_users(context: ApiContext, query: UsersQuery) -> Answer:
    """List users by name."""
    place = decode(query, query.cursor, str)
    user_query = UserQuery(
        search=query.q.strip(),
        role=query.role,
        disabled=query.disabled,
        after=str(place[0]) if place else "",
        size=query.limit,
    )
    found = context.store.user_reads.users_page(user_query)
    more = encode(query, found.rows[-1].user.username) if found.total > len(found.rows) else None
    items = [
        ListedUser(**dict(UserDocument.of(row.user)), credentials=row.credentials)  # a model iterates over its members
        for row in found.rows
    ]
    return Answer(Items[ListedUser](items=items, next_cursor=more))


@operation(
    "POST",
    "/users",
    access=USERS,
    tag="users",
    answer=UserDocument,
    status=201,
    body=NewUser,
    creates=True,
    etag=True,
)
def create_user(context: ApiContext, body: NewUser) -> Answer:
    """Create a user."""
    replayed = False
    try:
        user = user_actions.create_user(context.creating().accounts, body.username, body.roles, **context.who)
    except AlreadyDone:
        user, replayed = context.accounts.user(body.username), True
    document = UserDocument.of(user)
    return Answer(document, etag=etag_of_user(user), location=f"/users/{user.username}", replayed=replayed)


@operation("GET", "/users/<username>", access=USERS, tag="users", answer=UserDocument, etag=True)
def read_user(context: ApiContext, username: str) -> Answer:
    """Show one user."""
    return show(context, username)


@operation("POST", "/users/<username>/disable", access=USERS, tag="users", answer=UserDocument, edits=True, etag=True)
def disable_user(context: ApiContext, username: str) -> Answer:
    """Disable a user.

    All its tokens and sign-ins end. Nobody disables the user in whose name they act, and the last one who can manage
    users stays.
    """
    user = context.accounts.user(username)
    if user.id == context.owner_id:
        msg = "you act in the name of this user; let another administrator do it"
        raise Conflict(msg)
    user_actions.disable(
        context.editing(_etag_in(user.username)).accounts, user.username, keep_administrator=True, **context.who
    )
    return show(context, user.username)


@operation("POST", "/users/<username>/enable", access=USERS, tag="users", answer=UserDocument, edits=True, etag=True)
def enable_user(context: ApiContext, username: str) -> Answer:
    """Enable a user again.

    Tokens from before stay dead.
    """
    user = context.accounts.user(username)
    user_actions.enable(context.editing(_etag_in(user.username)).accounts, user.username, **context.who)
    return show(context, user.username)


@operation(
    "GET", "/users/<username>/preview", access=USERS, tag="users", answer=PreviewDocument, query=UserPreviewQuery
)
def preview_user(context: ApiContext, username: str, query: UserPreviewQuery) -> Answer:
    """Show what a change would end.

    To disable the user, to grant any role, or to revoke the role that is named.
    """
    return Answer(PreviewDocument.of(_preview(context, context.accounts.user(username), query)))


def _preview(context: ApiContext, user: User, query: UserPreviewQuery) -> Preview:
    reads = context.store.user_reads
    if (query.change == "revoke") != bool(query.role):
        msg = "name the role to revoke, and none for another change"
        raise Invalid(msg)
    if query.change == "revoke":
        return reads.preview_revoke(user.username, _held_role(user, query.role).name, context.now)
    return (reads.preview_disable if query.change == "disable" else reads.preview_grant)(user.username, context.now)


@operation(
    "POST",
    "/users/<username>/roles",
    access=USERS,
    tag="users",
    answer=UserDocument,
    body=Assignment,
    edits=True,
    etag=True,
)
def grant_role(context: ApiContext, username: str, body: Assignment) -> Answer:
    """Assign a role.

    Every live token of the user ends, since it is older than its roles.
    """
    user = context.accounts.user(username)
    user_actions.grant(context.editing(_etag_in(user.username)).accounts, user.username, body.role, **context.who)
    return show(context, user.username)


@operation(
    "DELETE",
    "/users/<username>/roles/<role_id>",
    access=USERS,
    tag="users",
    answer=UserDocument,
    edits=True,
    etag=True,
)
def revoke_role(context: ApiContext, username: str, role_id: str) -> Answer:
    """Remove a role from a user.

    Every live token of the user ends. The last operational role stays, and so does the last one who can manage users.
    """
    user = context.accounts.user(username)
    role = next((each for each in context.accounts.roles() if each.id == role_id), None)
    if role is None:
        raise NotFound(role_id)
    user_actions.revoke(
        context.editing(_etag_in(user.username)).accounts,
        user.username,
        role.name,
        keep_administrator=True,
        **context.who,
    )
    return show(context, user.username)


@operation(
    "POST",
    "/users/<username>/login-links",
    access=USERS,
    tag="users",
    answer=LoginLinkDocument,
    status=201,
    creates=True,
)
def create_login_link(context: ApiContext, username: str) -> Answer:
    """Make a link that signs a user in to the console once.

    A token makes no link for somebody whose roles open more than its own: whoever has the link acts as that user.
    """
    user = context.accounts.user(username)
    more = {permission for role in user.roles for permission in role.permissions} - context.caller.permissions
    if more:
        msg = f"The user's roles open {', '.join(sorted(more))}; those of the token do not."
        raise Problem("insufficient_scope", msg)
    try:
        link = sign_in_actions.make_link(context.creating().accounts, user.username, **context.who)
    except AlreadyDone:
        return Answer(LoginLinkDocument(url=None, expires_at=None), replayed=True)
    url = sign_in_actions.link_url(context.services.issuer, link.code)
    return Answer(LoginLinkDocument(url=url, expires_at=link.expires_at))


def _held_role(user: User, name: str) -> Role:
    for role in user.roles:
        if role.name == name:
            return role
    raise NotFound(name)
