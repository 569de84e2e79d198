"""Resource servers: the APIs that receive tokens."""

import contextlib
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from authserver.actions import resource_servers as resource_server_actions
from authserver.api.context import ApiContext
from authserver.api.cursors import part
from authserver.api.operations import RESOURCE_SERVERS, Answer, operation
from authserver.api.preconditions import etag_of
from authserver.api.schemas import InstantOut, Items, Model, Paged
from authserver.ports.errors import AlreadyDone, Invalid, NotFound
from authserver.ports.resource_servers import TOKEN_TYPES, ResourceServer
from authserver.ports.transaction import Transaction
from authserver.rules.client_authentication.policy import REQUIREMENTS
from authserver.rules.names import MAX_AUDIENCE, MAX_DISPLAY_NAME

Algorithm = Annotated[str, Field(min_length=1, max_length=16)]
Typ = Annotated[str, Field(min_length=1, max_length=16)]
Requirement = Annotated[str, Field(min_length=1, max_length=16)]


class ResourceServerDocument(Model):
    """A registered API, without its secret."""

    id: str
    client_id: str
    name: str
    audience: str
    token_alg: str | None = Field(description="What tokens for it are signed with; null for the general setting.")
    token_typ: str = Field(description="The `typ` of tokens for it.")
    max_staleness: int = Field(description="For how many seconds it may trust an introspection response.")
    requires: tuple[str, ...] = Field(description="What token requests for it must meet; none where it is empty.")
    created_at: InstantOut
    disabled_at: InstantOut | None
    last_asked_at: InstantOut | None = Field(description="When it last introspected a token.")
    live_tokens: int = Field(description="Live tokens for its audience; 500 stands for so many or more.")

    @classmethod
    def of(cls, server: ResourceServer, live: int) -> "ResourceServerDocument":
        """As the store has it."""
        return cls(
            id=server.id,
            client_id=server.client_id,
            name=server.name,
            audience=server.audience,
            token_alg=server.token_alg,
            token_typ=server.token_typ,
            max_staleness=server.max_staleness,
            requires=server.requires,
            created_at=server.created_at,
            disabled_at=server.disabled_at,
            last_asked_at=server.last_asked_at,
            live_tokens=live,
        )


class RegisteredResourceServer(ResourceServerDocument):
    """A resource server and its secret."""

    client_secret: str | None = Field(description="Shown this once; null where the request was answered before.")


class NewResourceServer(Model):
    """What a resource server is registered with."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_DISPLAY_NAME)]
    audience: Annotated[str, Field(min_length=1, max_length=MAX_AUDIENCE, description="An absolute URI (RFC 8707).")]
    token_alg: Algorithm | None = None
    token_typ: Typ = TOKEN_TYPES[0]


class ResourceServerChanges(Model):
    """What shall be otherwise: one of the four."""

    token_alg: Algorithm | None = Field(default=None, description="Null for the general setting.")
    token_typ: Typ | None = None
    max_staleness: Annotated[int, Field(ge=0, le=resource_server_actions.MAX_STALENESS)] | None = None
    requires: Annotated[tuple[Requirement, ...], Field(max_length=len(REQUIREMENTS), strict=False)] | None = Field(
        default=None, description=f"Some of {', '.join(f'`{each}`' for each in REQUIREMENTS)}; empty for nothing."
    )


class NewSecretOfServer(Model):
    """A new secret of a resource server."""

    client_id: str
    client_secret: str | None = Field(description="Shown this once; null where the request was answered before.")


def etag_of_server(server: ResourceServer) -> str:
    """Names what can be edited."""
    state = (server.token_alg, server.token_typ, server.max_staleness, server.requires)
    return etag_of(server.id, server.name, server.audience, *state, server.disabled_at)


def find(context: ApiContext, server_id: str) -> ResourceServer:
    """One resource server by its id; ``NotFound`` else."""
    for server in context.accounts.resource_servers():
        if server.id == server_id:
            return server
    raise NotFound(server_id)


def _etag_in(client_id: str) -> Callable[[Transaction], str]:
    return lambda tx: etag_of_server(tx.resource_server(client_id))


def _document(context: ApiContext, server: ResourceServer) -> ResourceServerDocument:
    live = context.store.token_reads.by_audience(context.now, server.audience).get(server.audience, 0)
    return ResourceServerDocument.of(server, live)


def _show(context: ApiContext, server_id: str) -> Answer:
    server = find(context, server_id)
    return Answer(_document(context, server), etag=etag_of_server(server))


@operation(
    "GET",
    "/resource-servers",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=Items[ResourceServerDocument],
    query=Paged,
)
def list_resource_servers(context: ApiContext, query: Paged) -> Answer:
    """List resource servers by name."""
    servers = sorted(context.accounts.resource_servers(), key=lambda server: server.name)
    live = context.store.token_reads.by_audience(context.now)
    shown, more = part(servers, query, query.cursor, query.limit, [server.name for server in servers])
    items = [ResourceServerDocument.of(server, live.get(server.audience, 0)) for server in shown]
    return Answer(Items[ResourceServerDocument](items=items, next_cursor=more))


@operation(
    "POST",
    "/resource-servers",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=RegisteredResourceServer,
    status=201,
    body=NewResourceServer,
    creates=True,
    etag=True,
)
def create_resource_server(context: ApiContext, body: NewResourceServer) -> Answer:
    """Register a resource server.

    Its secret is in this answer and nowhere else.
    """
    secret = None
    try:
        made = resource_server_actions.register_resource_server(
            context.creating().accounts,
            body.name,
            body.audience,
            pepper=context.store.pepper,
            token_alg=body.token_alg,
            token_typ=body.token_typ,
            **context.who,
        )
        server_id, secret = made.server.id, made.secret
    except AlreadyDone as done:
        server_id = done.subject
    server = find(context, server_id)
    document = RegisteredResourceServer(**dict(_document(context, server)), client_secret=secret)
    return Answer(
        document,
        etag=etag_of_server(server),
        location=f"/resource-servers/{server_id}",
        replayed=secret is None,
    )


@operation(
    "GET",
    "/resource-servers/<server_id>",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=ResourceServerDocument,
    etag=True,
)
def read_resource_server(context: ApiContext, server_id: str) -> Answer:
    """Show one resource server."""
    return _show(context, server_id)


@operation(
    "PATCH",
    "/resource-servers/<server_id>",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=ResourceServerDocument,
    body=ResourceServerChanges,
    edits=True,
    etag=True,
)
def edit_resource_server(context: ApiContext, server_id: str, body: ResourceServerChanges) -> Answer:
    """Change the algorithm or `typ` of its tokens, for how long it may trust an answer, or what it requires.

    One of the four at a time, because each is a change of its own on record.
    """
    server = find(context, server_id)
    accounts = context.editing(_etag_in(server.client_id)).accounts
    if body.model_fields_set == {"token_alg"}:
        resource_server_actions.edit_resource_server(accounts, server.client_id, body.token_alg, **context.who)
    elif body.model_fields_set == {"token_typ"} and body.token_typ is not None:
        resource_server_actions.choose_token_typ(accounts, server.client_id, body.token_typ, **context.who)
    elif body.model_fields_set == {"max_staleness"} and body.max_staleness is not None:
        resource_server_actions.bound_staleness(accounts, server.client_id, body.max_staleness, **context.who)
    elif body.model_fields_set == {"requires"} and body.requires is not None:
        resource_server_actions.require_of_tokens(accounts, server.client_id, body.requires, **context.who)
    else:
        msg = "give token_alg, token_typ, max_staleness or requires, one of them"
        raise Invalid(msg)
    return _show(context, server_id)


@operation(
    "POST",
    "/resource-servers/<server_id>/secrets",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=NewSecretOfServer,
    status=201,
    creates=True,
)
def regenerate_secret_of_server(context: ApiContext, server_id: str) -> Answer:
    """Make a new secret; the one before ends now."""
    server, secret = find(context, server_id), None
    with contextlib.suppress(AlreadyDone):
        secret = resource_server_actions.regenerate_resource_server(
            context.creating().accounts, server.client_id, pepper=context.store.pepper, **context.who
        ).secret
    return Answer(NewSecretOfServer(client_id=server.client_id, client_secret=secret), replayed=secret is None)


@operation(
    "POST",
    "/resource-servers/<server_id>/disable",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=ResourceServerDocument,
    edits=True,
    etag=True,
)
def disable_resource_server(context: ApiContext, server_id: str) -> Answer:
    """Disable a resource server.

    It may not introspect, and no token is issued for its audience.
    """
    server = find(context, server_id)
    resource_server_actions.disable_resource_server(
        context.editing(_etag_in(server.client_id)).accounts, server.client_id, **context.who
    )
    return _show(context, server_id)


@operation(
    "POST",
    "/resource-servers/<server_id>/enable",
    access=RESOURCE_SERVERS,
    tag="resource servers",
    answer=ResourceServerDocument,
    edits=True,
    etag=True,
)
def enable_resource_server(context: ApiContext, server_id: str) -> Answer:
    """Enable a resource server again."""
    server = find(context, server_id)
    resource_server_actions.enable_resource_server(
        context.editing(_etag_in(server.client_id)).accounts, server.client_id, **context.who
    )
    return _show(context, server_id)
