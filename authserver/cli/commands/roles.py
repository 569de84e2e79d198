"""``flask roles``: named sets of access."""

import click

from authserver.actions import roles as role_actions
from authserver.cli.arguments import ROLE
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, line, table
from authserver.cli.terminal import confirm
from authserver.ports.errors import NotFound
from authserver.ports.users import Role
from authserver.rules.names import KINDS

roles = Noun("roles", help="Named sets of access: operational ones go into tokens, builder ones open the console.")


def _document(role: Role) -> dict[str, object]:
    return {"id": role.id, "name": role.name, "kind": role.kind, "permissions": list(role.permissions)}


@roles.command(
    "create",
    examples=(
        "flask roles create reports.read --kind operational",
        "flask roles create auditor --kind builder --permission security:view --json",
    ),
)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the role is for.")
@click.option("--permission", "permissions", multiple=True, help="A part of the console it opens; repeat for more.")
def create(name: str, kind: str, permissions: tuple[str, ...]) -> Answer:
    """Make a role."""
    context = command_context()
    role = role_actions.create_role(context.accounts, name, kind, permissions, **context.who)
    return Answer({"id": role.id, "name": role.name, "kind": role.kind}, line(f"Role {role.name} is made ({kind})."))


@roles.command("list", examples=("flask roles list", "flask roles list --json"))
def list_() -> Answer:
    """List all roles."""
    documents = [_document(role) for role in command_context().accounts.roles()]
    empty = "There are no roles yet; `flask roles create` makes one."
    return Answer(documents, table(("name", "kind", "permissions", "id"), documents, empty=empty))


@roles.command("show", examples=("flask roles show reports.read",))
@click.argument("name", type=ROLE)
def show(name: str) -> Answer:
    """Show one role and who holds it."""
    context = command_context()
    role = next((each for each in context.accounts.roles() if each.name == name), None)
    if role is None:
        msg = f"there is no role {name!r}; `flask roles list` shows them"
        raise NotFound(msg)
    holders = [user.username for user in context.accounts.users() if name in user.role_names]
    document = {**_document(role), "users": holders}
    return Answer(document, fields(document))


@roles.command("delete", examples=("flask roles delete reports.read --yes",))
@click.argument("name", type=ROLE)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, *, yes: bool) -> Answer:
    """Take a role from all who hold it, for good; their tokens die at once."""
    confirm(f"Delete the role {name!r}? All tokens of those who hold it die.", yes=yes)
    context = command_context()
    holders = role_actions.delete_role(context.accounts, name, **context.who)
    return Answer({"name": name, "holders": holders}, line(f"Role {name} is deleted; {holders} held it."))
