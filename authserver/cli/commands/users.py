"""``flask users``: people with an account, and which roles they hold."""

from collections.abc import Callable
from pathlib import Path

import click

from authserver.actions import identities
from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.actions.events.mail import set_address
from authserver.cli.arguments import ROLE, USERNAME
from authserver.cli.command import Answer, Noun
from authserver.cli.context import CommandContext, command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import read_password
from authserver.ports.users import User

users = Noun("users", help="People with an account. Any change of their roles ends their tokens at once.")

_STDIN = click.option("--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input.")
_FILE = click.option(
    "--password-file", "file", type=click.Path(path_type=Path), help="Read the password from this file."
)


def _document(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "username": user.username,
        "roles": list(user.role_names),
        "role_version": user.role_version,
        "disabled": user.disabled_at is not None,
        "disabled_at": iso_or_none(user.disabled_at),
        "created_at": iso(user.created_at),
    }


def _changed(context: CommandContext, username: str, sentence: str) -> Answer:
    user = context.accounts.user(username)
    return Answer(_document(user), line(f"{sentence} Role version {user.role_version}: older tokens are dead."))


@users.command(
    "create",
    examples=(
        "flask users create ada --role reports.read",
        "flask users create grace --role reports.read --role administrator --password-stdin --json < password.txt",
    ),
)
@click.argument("username")
@click.option("--role", "roles", type=ROLE, multiple=True, required=True, help="A role to hold; repeat for more.")
@_STDIN
@_FILE
def create(username: str, roles: tuple[str, ...], *, from_stdin: bool, file: Path | None) -> Answer:
    """Make a user, who holds at least one operational role.

    Without a password the user cannot sign in to the console by one; `flask users password` sets it later.
    """
    password_hash = None
    if from_stdin or file is not None:
        password = read_password(username, from_stdin=from_stdin, file=file)
        password_hash = None if password is None else user_actions.hash_password(username, password)
    context = command_context()
    user = user_actions.create_user(context.accounts, username, roles, password_hash=password_hash, **context.who)
    document = _document(user)
    shown = {name: document[name] for name in ("id", "username", "roles", "role_version")}
    return Answer(shown, line(f"User {user.username} is made and holds {', '.join(user.role_names)}."))


@users.command("list", examples=("flask users list", "flask users list --role reports.read --json"))
@click.option("--role", type=ROLE, help="Only those who hold this role.")
def list_(role: str | None) -> Answer:
    """List all users."""
    documents = [
        _document(user) for user in command_context().accounts.users() if role is None or role in user.role_names
    ]
    empty = "There are none; `flask users create` makes one."
    columns = ("username", "roles", "role_version", "disabled", "created_at", "id")
    return Answer(documents, table(columns, documents, empty=empty))


@users.command("show", examples=("flask users show ada --json",))
@click.argument("username", type=USERNAME)
def show(username: str) -> Answer:
    """Show one user."""
    document = _document(command_context().accounts.user(username))
    return Answer(document, fields(document))


@users.command("grant", examples=("flask users grant ada reports.read",))
@click.argument("username", type=USERNAME)
@click.argument("role", type=ROLE)
def grant(username: str, role: str) -> Answer:
    """Assign a role; the user's tokens die at once."""
    context = command_context()
    user_actions.grant(context.accounts, username, role, **context.who)
    return _changed(context, username, f"{username} holds {role} now.")


@users.command("revoke", examples=("flask users revoke ada reports.read",))
@click.argument("username", type=USERNAME)
@click.argument("role", type=ROLE)
def revoke(username: str, role: str) -> Answer:
    """Remove a role; the user's tokens die at once. The last operational role stays."""
    context = command_context()
    user_actions.revoke(context.accounts, username, role, **context.who)
    return _changed(context, username, f"{username} no longer holds {role}.")


@users.command("email", examples=("flask users email ada ada@example.com", "flask users email ada --remove"))
@click.argument("username", type=USERNAME)
@click.argument("address", required=False)
@click.option("--remove", is_flag=True, help="Mail them no more.")
def email(username: str, *, address: str | None, remove: bool) -> Answer:
    """Set the address a user is mailed at about their own credentials; it needs AUTHSERVER_SMTP_SERVER."""
    if (address is None) != remove:
        msg = "give an address, or --remove"
        raise click.UsageError(msg)
    context = command_context()
    set_address(context.accounts, username, address, **context.who)
    return Answer({"username": username, "email": address}, line("Saved."))


@users.command("disable", examples=("flask users disable ada",))
@click.argument("username", type=USERNAME)
def disable(username: str) -> Answer:
    """Deactivate a user: no sign-in, no tokens, and all live ones die."""
    context = command_context()
    user_actions.disable(context.accounts, username, **context.who)
    return _changed(context, username, f"{username} is disabled.")


@users.command("enable", examples=("flask users enable ada",))
@click.argument("username", type=USERNAME)
def enable(username: str) -> Answer:
    """Reactivate a user; tokens from before stay dead."""
    context = command_context()
    user_actions.enable(context.accounts, username, **context.who)
    return _changed(context, username, f"{username} is enabled.")


@users.command(
    "password",
    examples=(
        "flask users password ada",
        "flask users password ada --password-stdin < password.txt",
        "flask users password ada --password-file /run/secrets/ada",
    ),
)
@click.argument("username", type=USERNAME)
@_STDIN
@_FILE
def password(username: str, *, from_stdin: bool, file: Path | None) -> Answer:
    """Set the password a user signs in to the console with: 12 to 128 characters, none that is guessed first."""
    typed = read_password(username, from_stdin=from_stdin, file=file)
    if typed is None:
        msg = "Give --password-stdin or --password-file: there is no terminal to ask on."
        raise click.UsageError(msg)
    context = command_context()
    context.accounts.user(username)
    user = user_actions.set_password(
        context.accounts, username, user_actions.hash_password(username, typed), **context.who
    )
    return Answer({"id": user.id, "username": user.username}, line(f"{user.username} has a new password."))


@users.command("login-link", examples=("flask users login-link ada",))
@click.argument("username", type=USERNAME)
def login_link(username: str) -> Answer:
    """Make a link that signs a user in to the console: once, and within 15 minutes.

    It is shown this once, and is as good as a password until then: hand it over on a way that nobody else reads.
    """
    context = command_context()
    link = sign_in_actions.make_link(context.accounts, username, **context.who)
    url = sign_in_actions.link_url(context.services.issuer, link.code)
    document = {"username": link.user.username, "url": url, "expires_at": iso(link.expires_at)}
    return Answer(document, line(url), hint=f"It signs {link.user.username} in once, until {iso(link.expires_at)}.")


_ISSUER = click.option("--issuer", required=True, help="The provider, as its ID tokens name it in `iss`.")
_SUBJECT = click.option("--subject", required=True, help="Who it is there: `sub` of the provider's ID tokens.")


@users.command("identities", examples=("flask users identities ada --json",))
@click.argument("username", type=USERNAME)
def identities_(username: str) -> Answer:
    """List who a user is at other sign-in providers."""
    context = command_context()
    user = context.accounts.user(username)
    documents = [
        {"issuer": each.issuer, "subject": each.subject, "created_at": iso(each.created_at)}
        for each in context.store.sign_ins.identities_of(user.id)
    ]
    empty = "There are none; `flask users link-identity` makes one."
    return Answer(documents, table(("issuer", "subject", "created_at"), documents, empty=empty))


@users.command(
    "link-identity",
    examples=("flask users link-identity ada --issuer https://id.example.com --subject 248289761001",),
)
@click.argument("username", type=USERNAME)
@_ISSUER
@_SUBJECT
def link_identity(username: str, issuer: str, subject: str) -> Answer:
    """Let the account SUBJECT at a provider sign in to the console as this user."""
    return _change_identity(identities.link, username, issuer, subject, "signs in as {} now")


@users.command(
    "unlink-identity",
    examples=("flask users unlink-identity ada --issuer https://id.example.com --subject 248289761001",),
)
@click.argument("username", type=USERNAME)
@_ISSUER
@_SUBJECT
def unlink_identity(username: str, issuer: str, subject: str) -> Answer:
    """Take that away again, and end the user's sign-ins by a provider."""
    return _change_identity(identities.unlink, username, issuer, subject, "no longer signs in as {}")


def _change_identity(action: Callable[..., User], username: str, issuer: str, subject: str, outcome: str) -> Answer:
    context = command_context()
    user = action(context.accounts, username, issuer, subject, **context.who)
    document = {"id": user.id, "username": user.username, "issuer": issuer, "subject": subject}
    return Answer(document, line(f"{subject} of {issuer} {outcome.format(user.username)}."))
