"""``flask credentials``: client ids and secrets that act on behalf of their owner."""

from collections.abc import Callable
from typing import IO

import click

from authserver.actions import credentials as credential_actions
from authserver.actions.preconditions.client_keys import public_key
from authserver.cli.arguments import AUDIENCE, CLIENT, ROLE, USERNAME
from authserver.cli.command import Answer, Noun
from authserver.cli.commands.certificates import certificate_document, certificate_rows, credential_certificates
from authserver.cli.commands.client_keys import (
    ALG,
    KEY_COLUMNS,
    KEY_FILE,
    credential_keys,
    jwks_uri_of,
    key_document,
    key_text,
)
from authserver.cli.commands.client_trusts import register as register_trusts
from authserver.cli.commands.client_trusts import trust_document, trust_rows
from authserver.cli.commands.resource_servers import ONCE
from authserver.cli.commands.shared_secrets import register as register_reports
from authserver.cli.context import command_context
from authserver.cli.durations import INSTANT, OVERLAP, SPAN, expiry
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from authserver.ports.credentials import Credential, SecretRecord
from authserver.ports.errors import Invalid
from authserver.ports.events.unused import UnusedPolicy
from authserver.rules.client_authentication.restrictions import restrictions, restrictions_of
from authserver.rules.facts import Instant, Span, over

credentials = Noun("credentials", help="Application credentials: what third-party systems get their tokens with.")

_EXAMPLE = "3b241101-e2bb-4255-8caf-4136c566a962"

_SHOWN_APART = frozenset({"secrets", "keys", "trusts", "certificates", "restrictions"})

credentials.add_command(credential_keys)
credentials.add_command(credential_certificates)
register_trusts(credentials)
register_reports(credentials)

_MOST_UNUSED = 1000

_EXPIRES_IN = click.option(
    "--expires-in", "span", type=SPAN, metavar="SPAN", help="Lifetime, such as 90d, 12h, 2w or 1y."
)
_EXPIRES_AT = click.option(
    "--expires-at",
    "instant",
    type=INSTANT,
    metavar="INSTANT",
    help="A date (its last second in UTC) or an ISO 8601 instant with its zone.",
)


def _state(credential: Credential, now: Instant) -> str:
    if credential.disabled_at is not None:
        return "disabled"
    return "expired" if over(now, credential.expires_at) else "live"


def _document(credential: Credential, now: Instant) -> dict[str, object]:
    return {
        "client_id": credential.client_id,
        "name": credential.name,
        "owner": credential.owner,
        "roles": list(credential.roles),
        "state": _state(credential, now),
        "expires_at": iso(credential.expires_at),
        "created_at": iso(credential.created_at),
        "disabled_at": iso_or_none(credential.disabled_at),
        "secrets": [_secret(secret, now) for secret in credential.secrets],
        "keys": [key_document(key) for key in credential.keys],
        "jwks_uri": jwks_uri_of(credential),
        "trusts": [trust_document(each) for each in credential.trusts],
        "certificates": [certificate_document(each) for each in credential.certificates],
        "restrictions": restrictions_document(credential.restrictions),
    }


def restrictions_document(text: str | None) -> dict[str, object]:
    """Restrictions as they are printed; empty for none."""
    try:
        found = restrictions_of(text)
    except ValueError:
        return {"written_by_a_newer_version": True}
    document: dict[str, object] = {
        "networks": [str(each) for each in found.networks],
        "audiences": sorted(found.audiences),
        "max_lifetime_seconds": found.lifetime or None,
        "bound": found.bound,
        "max_sessions": found.sessions,
        "end_oldest": found.end_oldest,
        "requests_per_minute": found.rate,
    }
    return {name: value for name, value in document.items() if value}


def _secret(secret: SecretRecord, now: Instant) -> dict[str, object]:
    return {
        "hint": secret.hint,
        "live": secret.ends_at is None or not over(now, secret.ends_at),
        "created_at": iso(secret.created_at),
        "ends_at": iso_or_none(secret.ends_at),
        "last_used_at": iso_or_none(secret.last_used_at),
    }


@credentials.command(
    "unused",
    examples=(
        "flask credentials unused",
        "flask credentials unused --within 7d --json",
        "flask credentials unused --days 90 --within 60d",
    ),
)
@click.option("--days", type=click.IntRange(1, 3650), help="As if that were the setting, chosen now.")
@click.option("--within", type=SPAN, default="30d", show_default=True, help="Disabled at the latest then.")
def unused(days: int | None, within: Span) -> Answer:
    """Forecast which credentials `unused_disable_days` disables because nobody uses them, the soonest first."""
    context = command_context()
    reads = context.store.unused
    policy = reads.policy() if days is None else UnusedPolicy(days, context.now)
    documents: list[dict[str, object]] = [
        {
            "client_id": each.client_id,
            "name": each.name,
            "owner": each.owner,
            "last_used_at": iso_or_none(each.last_used_at),
            "disables_at": iso(each.disables_at),
        }
        for each in reads.disabled_by(policy, context.now + within, _MOST_UNUSED)
    ]
    empty = "There are none." if policy.days else "The setting unused_disable_days is 0: nothing is disabled unused."
    return Answer(
        documents, table(("client_id", "name", "owner", "last_used_at", "disables_at"), documents, empty=empty)
    )


@credentials.command(
    "create",
    examples=(
        "flask credentials create --owner ada --name 'Nightly export' --expires-in 90d --role reports.read",
        "flask credentials create --owner ada --name Robot --expires-at 2027-06-30 --role reports.read --json",
        "flask credentials create --owner ada --name Robot --expires-in 90d --role reports.read --key public.pem",
    ),
)
@click.option("--owner", type=USERNAME, required=True, metavar="USERNAME", help="On whose behalf it acts.")
@click.option("--name", required=True, help="What it is for, in the owner's words.")
@_EXPIRES_IN
@_EXPIRES_AT
@click.option("--role", "roles", type=ROLE, multiple=True, required=True, help="A role of the owner; repeat for more.")
@click.option("--key", type=KEY_FILE, metavar="FILE", help="The client's public key, PEM or JWK; no secret is made.")
@ALG
@click.option("--no-secret", is_flag=True, help="Make none: a key or a trust is added next.")
def create(
    owner: str,
    name: str,
    *,
    span: Span | None,
    instant: Instant | None,
    roles: tuple[str, ...],
    key: IO[str] | None,
    alg: str | None,
    no_secret: bool,
) -> Answer:
    """Make a credential. Its roles stay as chosen now; its secret is shown once."""
    if span is None and instant is None:
        msg = "Missing option '--expires-in' or '--expires-at': a credential always ends."
        raise click.UsageError(msg)
    context = command_context()
    end = expiry(context.now, span, instant)
    public = public_key(key_text(key), alg or "") if key else None
    made = credential_actions.create(
        context.accounts,
        owner,
        name,
        end or 0,
        roles,
        pepper=context.store.pepper,
        key=public,
        has_secret=not no_secret,
        **context.who,
    )
    proof = {"key": public.thumbprint, "alg": public.alg} if public else {}
    if made.secret:
        proof = {"client_secret": made.secret}
    document = {
        "client_id": made.credential.client_id,
        **proof,
        "expires_at": iso(made.credential.expires_at),
        "roles": list(made.credential.roles),
    }
    return Answer(document, fields(document), hint=ONCE if made.secret else "")


@credentials.command(
    "list", examples=("flask credentials list", "flask credentials list --owner ada --state live --json")
)
@click.option("--owner", type=USERNAME, metavar="USERNAME", help="Only those of this owner.")
@click.option("--state", type=click.Choice(("live", "disabled", "expired")), help="Only those in this state.")
def list_(owner: str | None, state: str | None) -> Answer:
    """List credentials, newest first; deleted ones are gone."""
    context = command_context()
    owner_id = None if owner is None else context.accounts.user(owner).id
    documents = [
        _document(each, context.now)
        for each in context.accounts.credentials(owner_id)
        if state is None or _state(each, context.now) == state
    ]
    empty = "There are none; `flask credentials create` makes one."
    columns = ("client_id", "name", "owner", "roles", "state", "expires_at")
    return Answer(documents, table(columns, documents, empty=empty))


@credentials.command("show", examples=("flask credentials show 3b241101-e2bb-4255-8caf-4136c566a962",))
@click.argument("client_id", type=CLIENT)
def show(client_id: str) -> Answer:
    """Show one credential and its secrets, without the secrets themselves."""
    context = command_context()
    credential = context.accounts.credential(client_id)
    document = _document(credential, context.now)
    secrets = [_secret(secret, context.now) for secret in credential.secrets]
    columns = ("hint", "live", "created_at", "ends_at", "last_used_at")
    parts = {name: value for name, value in document.items() if name not in _SHOWN_APART}
    parts |= restrictions_document(credential.restrictions)
    shown = [*fields(parts), *line(""), *table(columns, secrets, empty="It has no secret.")]
    if credential.keys:
        shown += [*line(""), *table(KEY_COLUMNS, [key_document(key) for key in credential.keys], empty="")]
    if credential.trusts:
        shown += [*line(""), *trust_rows([trust_document(each) for each in credential.trusts])]
    if credential.certificates:
        shown += [*line(""), *certificate_rows([certificate_document(each) for each in credential.certificates])]
    return Answer(document, shown)


@credentials.command(
    "edit",
    examples=(
        "flask credentials edit 3b241101-e2bb-4255-8caf-4136c566a962 --name 'Weekly export'",
        "flask credentials edit 3b241101-e2bb-4255-8caf-4136c566a962 --expires-in 30d",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.option("--name", help="A new name.")
@_EXPIRES_IN
@_EXPIRES_AT
def edit(client_id: str, name: str | None, span: Span | None, instant: Instant | None) -> Answer:
    """Change name or expiry; the chosen roles are fixed."""
    if name is None and span is None and instant is None:
        msg = "Nothing to change: give --name, --expires-in or --expires-at."
        raise click.UsageError(msg)
    context = command_context()
    expires_at = expiry(context.now, span, instant)
    credential = credential_actions.edit(context.accounts, client_id, name=name, expires_at=expires_at, **context.who)
    document = _document(credential, context.now)
    return Answer(document, line(f"{credential.name} ends {iso(credential.expires_at)}."))


@credentials.command(
    "regenerate",
    examples=(
        "flask credentials regenerate 3b241101-e2bb-4255-8caf-4136c566a962 --json",
        "flask credentials regenerate 3b241101-e2bb-4255-8caf-4136c566a962 --overlap 24h",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.option("--overlap", type=OVERLAP, default="0", show_default=True, help="How long the old secret lives on.")
def regenerate(client_id: str, overlap: Span) -> Answer:
    """Make a new secret; the old one ends now or after the overlap, and its tokens with it."""
    context = command_context()
    revealed = credential_actions.regenerate(
        context.accounts, client_id, overlap, pepper=context.store.pepper, **context.who
    )
    document = {"client_id": revealed.credential.client_id, "client_secret": revealed.secret}
    return Answer(document, fields(document), hint=ONCE)


@credentials.command(
    "restrict",
    examples=(
        f"flask credentials restrict {_EXAMPLE} --network 192.0.2.0/24 --network 2001:db8::/32",
        f"flask credentials restrict {_EXAMPLE} --audience https://api.example.com --max-lifetime 10m --bound",
        f"flask credentials restrict {_EXAMPLE} --max-sessions 5 --end-oldest --rate 60",
        f"flask credentials restrict {_EXAMPLE} --none",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.option("--network", "networks", multiple=True, metavar="CIDR", help="Where requests may come from; repeat.")
@click.option("--audience", "audiences", type=AUDIENCE, multiple=True, help="Which APIs it gets tokens for; repeat.")
@click.option("--max-lifetime", "lifetime", type=SPAN, metavar="SPAN", help="How long its tokens live, such as 10m.")
@click.option("--bound", is_flag=True, help="Its tokens must be bound to a key (DPoP) or a certificate (mTLS).")
@click.option("--max-sessions", "sessions", type=int, metavar="N", help="How many of its tokens may live at once.")
@click.option("--end-oldest", is_flag=True, help="One session more ends the oldest; otherwise it is refused.")
@click.option("--rate", type=int, metavar="N", help="How many tokens it may ask for in a minute.")
@click.option("--none", "lift", is_flag=True, help="Lift all restrictions.")
def restrict(
    client_id: str,
    networks: tuple[str, ...],
    audiences: tuple[str, ...],
    *,
    lifetime: Span | None,
    bound: bool,
    sessions: int | None,
    end_oldest: bool,
    rate: int | None,
    lift: bool,
) -> Answer:
    """Hold a credential to these restrictions, and to no others from before; its tokens die."""
    if lift == bool(networks or audiences or lifetime or bound or sessions or end_oldest or rate):
        msg = "Name the restrictions, or --none to lift all."
        raise click.UsageError(msg)
    try:
        wanted = restrictions(
            networks,
            audiences,
            lifetime or 0,
            bound=bound,
            sessions=sessions or 0,
            end_oldest=end_oldest,
            rate=rate or 0,
        )
    except ValueError as error:
        raise Invalid(str(error)) from error
    context = command_context()
    credential = credential_actions.restrict(context.accounts, client_id, wanted, **context.who)
    return Answer(_document(credential, context.now), line("It is restricted so, and its tokens from before are dead."))


@credentials.command(
    "end-secrets", examples=("flask credentials end-secrets 3b241101-e2bb-4255-8caf-4136c566a962 --yes",)
)
@click.argument("client_id", type=CLIENT)
@click.option("--yes", is_flag=True, help="Do not ask.")
def end_secrets(client_id: str, *, yes: bool) -> Answer:
    """End all secrets of a credential that has a key; the tokens that they obtained die."""
    confirm(f"End all secrets of {client_id}? Only its keys work then.", yes=yes)
    return _switch(credential_actions.end_secrets, client_id, "It has no secret any more; its keys work.")


@credentials.command("disable", examples=("flask credentials disable 3b241101-e2bb-4255-8caf-4136c566a962",))
@click.argument("client_id", type=CLIENT)
def disable(client_id: str) -> Answer:
    """Switch it off; its tokens die for good."""
    return _switch(credential_actions.disable, client_id, "It is disabled, and its tokens are dead.")


@credentials.command("enable", examples=("flask credentials enable 3b241101-e2bb-4255-8caf-4136c566a962",))
@click.argument("client_id", type=CLIENT)
def enable(client_id: str) -> Answer:
    """Switch it on again; tokens from before stay dead."""
    return _switch(credential_actions.enable, client_id, "It is enabled; tokens from before stay dead.")


def _switch(action: Callable[..., object], client_id: str, sentence: str) -> Answer:
    context = command_context()
    action(context.accounts, client_id, **context.who)
    return Answer(_document(context.accounts.credential(client_id), context.now), line(sentence))


@credentials.command("delete", examples=("flask credentials delete 3b241101-e2bb-4255-8caf-4136c566a962 --yes",))
@click.argument("client_id", type=CLIENT)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(client_id: str, *, yes: bool) -> Answer:
    """Delete it for good; its tokens die and its id is never used again."""
    confirm(f"Delete the credential {client_id} for good?", yes=yes)
    context = command_context()
    credential_actions.delete(context.accounts, client_id, **context.who)
    return Answer(
        {"client_id": client_id, "deleted_at": iso(context.now)}, line("It is deleted, and its tokens are dead.")
    )
