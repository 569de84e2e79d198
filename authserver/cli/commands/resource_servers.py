"""``flask resource-servers``: the APIs that receive tokens and ask about them."""

import click

from authserver.actions import resource_servers as resource_server_actions
from authserver.cli.arguments import RESOURCE_SERVER
from authserver.cli.command import Answer, Noun
from authserver.cli.commands.client_keys import server_keys
from authserver.cli.commands.event_streams import event_streams
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.ports.errors import NotFound
from authserver.ports.resource_servers import TOKEN_TYPES, ResourceServer
from authserver.rules.client_authentication.policy import REQUIREMENTS
from keys.material import ALGORITHMS, POST_QUANTUM

resource_servers = Noun("resource-servers", help="The APIs that receive tokens, each with its audience.")

resource_servers.add_command(server_keys)
resource_servers.add_command(event_streams)

ONCE = "The secret is shown this once; only a keyed hash of it is kept."


def _document(server: ResourceServer) -> dict[str, object]:
    return {
        "id": server.id,
        "client_id": server.client_id,
        "name": server.name,
        "audience": server.audience,
        "token_alg": server.token_alg,
        "token_typ": server.token_typ,
        "requires": list(server.requires),
        "max_staleness": server.max_staleness,
        "disabled": server.disabled_at is not None,
        "disabled_at": iso_or_none(server.disabled_at),
        "created_at": iso(server.created_at),
        "last_asked_at": iso_or_none(server.last_asked_at),
    }


@resource_servers.command(
    "create",
    examples=(
        "flask resource-servers create Reports --audience https://reports.example.com",
        "flask resource-servers create Ledger --audience https://ledger.example.com --token-alg ES256 --json",
        "flask resource-servers create Invoices --audience https://invoices.example.com --token-typ JWT",
    ),
)
@click.argument("name")
@click.option("--audience", required=True, metavar="URI", help="What tokens for it name in `aud`.")
@click.option(
    "--alg",
    "--token-alg",
    "token_alg",
    type=click.Choice((*ALGORITHMS, *POST_QUANTUM)),
    help="Its own signature algorithm; else the general one.",
)
@click.option(
    "--token-typ",
    type=click.Choice(TOKEN_TYPES),
    default=TOKEN_TYPES[0],
    help="`typ` of its tokens; `JWT` for a verifier that refuses `at+jwt`, the default.",
)
def create(name: str, audience: str, token_alg: str | None, token_typ: str) -> Answer:
    """Register an API; its id and secret are for introspection."""
    context = command_context()
    registered = resource_server_actions.register_resource_server(
        context.accounts,
        name,
        audience,
        pepper=context.store.pepper,
        token_alg=token_alg,
        token_typ=token_typ,
        **context.who,
    )
    document = {
        "id": registered.server.id,
        "client_id": registered.server.client_id,
        "client_secret": registered.secret,
        "audience": registered.server.audience,
    }
    return Answer(document, fields(document), hint=ONCE)


@resource_servers.command(
    "register-api",
    examples=("flask resource-servers register-api", "flask resource-servers register-api --audience urn:acme:auth"),
)
@click.option("--audience", metavar="URI", help="What tokens for it name in `aud`; else the issuer with /api/v1.")
def register_api(audience: str | None) -> Answer:
    """Open the management API at /api/v1 to tokens: register it as a resource server. Once is enough."""
    context = command_context()
    server = resource_server_actions.register_management_api(
        context.accounts, audience or f"{context.services.issuer}/api/v1", pepper=context.store.pepper, **context.who
    )
    return Answer(_document(server), fields(_document(server)))


@resource_servers.command("list", examples=("flask resource-servers list", "flask resource-servers list --json"))
def list_() -> Answer:
    """List all resource servers."""
    documents = [_document(server) for server in command_context().accounts.resource_servers()]
    empty = "There are none; `flask resource-servers create` registers one."
    return Answer(documents, table(("name", "audience", "client_id", "token_alg", "disabled"), documents, empty=empty))


@resource_servers.command("show", examples=("flask resource-servers show Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def show(name: str) -> Answer:
    """Show one resource server, by its name, client id or audience."""
    for server in command_context().accounts.resource_servers():
        if name in {server.name, server.client_id, server.audience}:
            return Answer(_document(server), fields(_document(server)))
    msg = f"there is no resource server {name!r}; `flask resource-servers list` shows them"
    raise NotFound(msg)


@resource_servers.command("regenerate", examples=("flask resource-servers regenerate Reports --json",))
@click.argument("name", type=RESOURCE_SERVER)
def regenerate(name: str) -> Answer:
    """Make a new secret; the old one ends now."""
    context = command_context()
    registered = resource_server_actions.regenerate_resource_server(
        context.accounts, name, pepper=context.store.pepper, **context.who
    )
    document = {"client_id": registered.server.client_id, "client_secret": registered.secret}
    return Answer(document, fields(document), hint=ONCE)


@resource_servers.command(
    "edit",
    examples=(
        "flask resource-servers edit Reports --alg RS256",
        "flask resource-servers edit Reports --alg general",
        "flask resource-servers edit Reports --max-staleness 30",
        "flask resource-servers edit Reports --token-typ JWT",
        "flask resource-servers edit Reports --require key+bound",
    ),
)
@click.argument("name", type=RESOURCE_SERVER)
@click.option(
    "--alg",
    type=click.Choice((*ALGORITHMS, *POST_QUANTUM, "general")),
    help="What its tokens are signed with; `general`: as the general setting says. Tokens that it got stay good.",
)
@click.option(
    "--max-staleness",
    metavar="SECONDS",
    type=click.IntRange(0, resource_server_actions.MAX_STALENESS),
    help="For how long it may trust an answer of introspection; 0: it asks for each call.",
)
@click.option(
    "--token-typ",
    type=click.Choice(TOKEN_TYPES),
    help="`typ` of its tokens; those with the other one are inactive from then on.",
)
@click.option(
    "--require",
    type=click.Choice(("none", *REQUIREMENTS, "+".join(REQUIREMENTS))),
    help="What its clients must meet: a key instead of a secret, bound tokens (DPoP or mTLS), or both.",
)
def edit(
    name: str, *, alg: str | None, max_staleness: int | None, token_typ: str | None, require: str | None
) -> Answer:
    """Choose the algorithm or the `typ` of its tokens, how long it may trust an answer, or what it requires; one."""
    context = command_context()
    if sum(each is not None for each in (alg, max_staleness, token_typ, require)) != 1:
        msg = "give --alg, --token-typ, --max-staleness or --require, one of them"
        raise click.UsageError(msg)
    if require is not None:
        words = [] if require == "none" else require.split("+")
        server = resource_server_actions.require_of_tokens(context.accounts, name, words, **context.who)
        return Answer(_document(server), line(f"Token requests for {server.name} must meet: {require}."))
    if max_staleness is not None:
        server = resource_server_actions.bound_staleness(context.accounts, name, max_staleness, **context.who)
        return Answer(_document(server), line(f"{server.name} may trust an answer for {max_staleness} s."))
    if token_typ is not None:
        server = resource_server_actions.choose_token_typ(context.accounts, name, token_typ, **context.who)
        return Answer(_document(server), line(f"Tokens for {server.name} have the typ {token_typ} from now on."))
    server = resource_server_actions.edit_resource_server(
        context.accounts, name, None if alg == "general" else alg, **context.who
    )
    return Answer(_document(server), line(f"{server.name} gets tokens signed with {alg}."))


@resource_servers.command("jwks-client", examples=("flask resource-servers jwks-client Reports --json",))
@click.argument("name", type=RESOURCE_SERVER)
def jwks_client(name: str) -> Answer:
    """Make the address it fetches the JWKS at, so that `flask keys readiness` knows which keys it has seen.

    For verifiers that cannot send their own id and secret there. The name in the address is no secret.
    """
    context = command_context()
    token = resource_server_actions.name_jwks_client(context.accounts, name, **context.who)
    document = {
        "jwks_client": token,
        "jwks_uri": f"{context.services.issuer}/.well-known/jwks.json?jwks_client={token}",
    }
    return Answer(document, fields(document), hint="An earlier address of it is served on, as an anonymous one.")


@resource_servers.command("disable", examples=("flask resource-servers disable Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def disable(name: str) -> Answer:
    """Switch it off: it may not introspect, and no token is issued for it."""
    context = command_context()
    server = resource_server_actions.disable_resource_server(context.accounts, name, **context.who)
    return Answer(_document(server), line(f"{server.name} is disabled."))


@resource_servers.command("enable", examples=("flask resource-servers enable Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def enable(name: str) -> Answer:
    """Switch it on again."""
    context = command_context()
    server = resource_server_actions.enable_resource_server(context.accounts, name, **context.who)
    return Answer(_document(server), line(f"{server.name} is enabled."))
