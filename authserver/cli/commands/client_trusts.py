"""``flask credentials trust`` and what belongs to it: whose tokens stand for a client, so that no secret exists."""

from typing import IO

import click

from authserver.actions.client_authentication import trusts as client_trusts
from authserver.cli.arguments import CLIENT
from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import HumanText, cell, fields, iso, iso_or_none, line, table
from authserver.cli.terminal import confirm
from authserver.ports.credentials import TrustRecord
from authserver.ports.errors import Invalid
from authserver.rules.client_authentication.trust import MOST_SETS, Trust, made_trust, trust_of
from keys.jws import MOST_CHARS

_EXAMPLE = "3b241101-e2bb-4255-8caf-4136c566a962"
_FILE = click.File("r", encoding="utf-8", errors="replace")
TRUST_COLUMNS = ("id", "issuer", "audience", "claims", "keys", "once", "live", "last_used_at")


def trust_document(record: TrustRecord) -> dict[str, object]:
    """A trust as it is printed."""
    try:
        trust = trust_of(record.text)
    except ValueError:
        trust = Trust("written by a newer version", "", ())
    return {
        "id": record.id,
        "issuer": trust.issuer,
        "audience": trust.audience,
        "claims": dict(trust.conditions),
        "keys": "pasted" if trust.jwks else trust.jwks_uri or "discovery",
        "once": trust.once,
        "live": record.ends_at is None,
        "created_at": iso(record.created_at),
        "last_used_at": iso_or_none(record.last_used_at),
        "ends_at": iso_or_none(record.ends_at),
    }


def trust_rows(documents: list[dict[str, object]]) -> HumanText:
    """Trusts as a table, newest first."""
    rows = [{**each, "claims": _claims(each["claims"])} for each in documents]
    return table(TRUST_COLUMNS, rows, empty="It trusts no issuer.")


def _claims(claims: object) -> list[str]:
    return [f"{name}={value}" for name, value in claims.items()] if isinstance(claims, dict) else []


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"--claim takes NAME=VALUE, such as repository=acme/api, and not {text!r}"
        raise click.UsageError(msg)
    return name, value


def register(credentials: Noun) -> None:
    """Add the commands to ``flask credentials``."""
    for command in (trust, trusts, distrust, try_federation):
        credentials.add_command(command)


_commands = Noun("trusts")


@_commands.command(
    "trust",
    examples=(
        f"flask credentials trust {_EXAMPLE} --issuer https://ci.example.com --subject repo:acme/api:environment:prod",
        f"flask credentials trust {_EXAMPLE} --issuer https://k8s.example.com --subject a:b:payroll:* --jwks jwks.json",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.option("--issuer", required=True, metavar="URL", help="What its tokens have as `iss`.")
@click.option("--audience", metavar="TEXT", help="What they have as `aud`; this server's issuer identifier by default.")
@click.option(
    "--subject", metavar="PATTERN", help="What they have as `sub`; * is one whole part between : and /, ** any number."
)
@click.option("--claim", "claims", multiple=True, metavar="NAME=PATTERN", help="A condition on another claim; repeat.")
@click.option("--jwks", type=_FILE, metavar="FILE", help="The issuer's JWK set, where it cannot be reached from here.")
@click.option("--jwks-uri", default="", metavar="URL", help="Where its JWK set is, where it offers no discovery.")
@click.option("--once", is_flag=True, help="Each of its tokens is good once; they need a `jti`.")
def trust(
    client_id: str,
    issuer: str,
    *,
    audience: str | None,
    subject: str | None,
    claims: tuple[str, ...],
    jwks: IO[str] | None,
    jwks_uri: str,
    once: bool,
) -> Answer:
    """Let tokens of another issuer stand for a credential; all conditions must hold."""
    conditions = [_condition(each) for each in claims] + ([("sub", subject)] if subject else [])
    context = command_context()
    try:
        wanted = made_trust(
            issuer,
            audience or context.services.issuer,
            conditions,
            jwks=jwks.read(MOST_SETS + 1) if jwks else "",
            jwks_uri=jwks_uri,
            once=once,
        )
    except ValueError as error:
        raise Invalid(str(error)) from error
    document = trust_document(client_trusts.add(context.accounts, client_id, wanted, **context.who))
    shown = fields({**document, "claims": _claims(document["claims"])})
    return Answer(document, shown, hint=f"Try a token: flask credentials try-federation {client_id} token.jwt")


@_commands.command("trusts", examples=(f"flask credentials trusts {_EXAMPLE}",))
@click.argument("client_id", type=CLIENT)
def trusts(client_id: str) -> Answer:
    """List whom a credential trusts, newest first, removed ones too."""
    documents = [trust_document(each) for each in command_context().accounts.credential(client_id).trusts]
    return Answer(documents, trust_rows(documents))


@_commands.command(
    "distrust", examples=(f"flask credentials distrust {_EXAMPLE} tru_0c1b2a39485746558493a2b1c0d9e8f7 --yes",)
)
@click.argument("client_id", type=CLIENT)
@click.argument("trust_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def distrust(client_id: str, trust_id: str, *, yes: bool) -> Answer:
    """Remove a trust; the tokens that it obtained die."""
    confirm(f"Remove the trust {trust_id} of {client_id}?", yes=yes)
    context = command_context()
    client_trusts.remove(context.accounts, client_id, trust_id, **context.who)
    return Answer({"client_id": client_id, "removed": trust_id}, line("It is removed, and its tokens are dead."))


@_commands.command(
    "try-federation",
    examples=(
        f"flask credentials try-federation {_EXAMPLE} /var/run/secrets/tokens/authserver",
        f"flask credentials try-federation {_EXAMPLE} - --json < token.jwt",
    ),
)
@click.argument("client_id", type=CLIENT)
@click.argument("file", type=_FILE)
def try_federation(client_id: str, file: IO[str]) -> Answer:
    """Hold a token, from a file or from standard input (-), against each trust, and show which condition fails."""
    context = command_context()
    text = file.read(MOST_CHARS * 2)
    trials = client_trusts.try_token(context.accounts, client_id, text, context.services.remote_keys, now=context.now)
    documents = [
        {
            "trust": each.trust_id,
            "issuer": each.issuer,
            "passes": each.passes,
            "checks": [
                {"check": one.name, "holds": not one.reason, "wanted": one.wanted, "found": one.found}
                for one in each.checks
            ],
        }
        for each in trials
    ]
    shown: list[object] = []
    for trial in trials:
        rows = [
            {"check": one.name, "holds": not one.reason, "wanted": one.wanted, "found": one.found}
            for one in trial.checks
        ]
        shown += [cell(f"{trial.trust_id}  {trial.issuer}"), *table(tuple(rows[0]), rows, empty=""), *line("")]
    fault = "" if any(each.passes for each in trials) else "the token meets no trust of the credential"
    return Answer({"passes": not fault, "trusts": documents}, shown, fault=fault)  # type: ignore[arg-type] # all of rich
