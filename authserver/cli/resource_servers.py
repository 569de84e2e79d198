"""``flask resource-servers``: the APIs that receive tokens and ask about them."""

import click

from authserver.actions import administer
from authserver.cli.command import Answer, Noun
from authserver.cli.here import here
from authserver.cli.names import RESOURCE_SERVER
from authserver.cli.show import fields, iso, iso_or_none, line, table
from authserver.ports import NotFound, ResourceServer
from keys.material import ALGORITHMS

resource_servers = Noun("resource-servers", help="The APIs that receive tokens, each with its audience.")

ONCE = "The secret is shown this once; only a keyed hash of it is kept."


def _document(server: ResourceServer) -> dict[str, object]:
    return {
        "id": server.id,
        "client_id": server.client_id,
        "name": server.name,
        "audience": server.audience,
        "token_alg": server.token_alg,
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
    ),
)
@click.argument("name")
@click.option("--audience", required=True, metavar="URI", help="What tokens for it name in `aud`.")
@click.option("--token-alg", type=click.Choice(ALGORITHMS), help="Its own signature algorithm; else the general one.")
def create(name: str, audience: str, token_alg: str | None) -> Answer:
    """Register an API; its id and secret are for introspection."""
    at = here()
    made = administer.register_resource_server(
        at.accounts, name, audience, pepper=at.store.pepper, token_alg=token_alg, **at.who
    )
    document = {
        "id": made.server.id,
        "client_id": made.server.client_id,
        "client_secret": made.secret,
        "audience": made.server.audience,
    }
    return Answer(document, fields(document), hint=ONCE)


@resource_servers.command("list", examples=("flask resource-servers list", "flask resource-servers list --json"))
def list_() -> Answer:
    """List all resource servers."""
    documents = [_document(server) for server in here().accounts.resource_servers()]
    empty = "There are none; `flask resource-servers create` registers one."
    return Answer(documents, table(("name", "audience", "client_id", "token_alg", "disabled"), documents, empty=empty))


@resource_servers.command("show", examples=("flask resource-servers show Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def show(name: str) -> Answer:
    """Show one resource server, by its name, client id or audience."""
    for server in here().accounts.resource_servers():
        if name in {server.name, server.client_id, server.audience}:
            return Answer(_document(server), fields(_document(server)))
    msg = f"there is no resource server {name!r}; `flask resource-servers list` shows them"
    raise NotFound(msg)


@resource_servers.command("regenerate", examples=("flask resource-servers regenerate Reports --json",))
@click.argument("name", type=RESOURCE_SERVER)
def regenerate(name: str) -> Answer:
    """Make a new secret; the old one ends now."""
    at = here()
    made = administer.regenerate_resource_server(at.accounts, name, pepper=at.store.pepper, **at.who)
    document = {"client_id": made.server.client_id, "client_secret": made.secret}
    return Answer(document, fields(document), hint=ONCE)


@resource_servers.command("disable", examples=("flask resource-servers disable Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def disable(name: str) -> Answer:
    """Switch it off: it may not introspect, and no token is issued for it."""
    at = here()
    server = administer.disable_resource_server(at.accounts, name, **at.who)
    return Answer(_document(server), line(f"{server.name} is disabled."))


@resource_servers.command("enable", examples=("flask resource-servers enable Reports",))
@click.argument("name", type=RESOURCE_SERVER)
def enable(name: str) -> Answer:
    """Switch it on again."""
    at = here()
    server = administer.enable_resource_server(at.accounts, name, **at.who)
    return Answer(_document(server), line(f"{server.name} is enabled."))
