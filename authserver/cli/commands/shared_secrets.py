"""``flask credentials by-secret`` and ``shared-secrets``: who still uses a shared secret, one by one and in numbers."""

from dataclasses import asdict

import click

from authserver.cli.command import Answer, Noun
from authserver.cli.context import command_context
from authserver.cli.output import fields, iso, iso_or_none, line, table
from authserver.rules.facts import over


def register(noun: Noun) -> None:
    """Add the commands to ``flask credentials``."""
    noun.command("by-secret", examples=("flask credentials by-secret", "flask credentials by-secret --json"))(by_secret)
    examples = ("flask credentials shared-secrets", "flask credentials shared-secrets --json")
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=100, help="How many owners and APIs at most.")
    noun.command("shared-secrets", examples=examples)(limit(shared_secrets))


def by_secret() -> Answer:
    """List who still uses a shared secret, by owner: what would stop under `client_secrets_allowed 0` comes first."""
    context = command_context()
    documents = []
    for each in context.accounts.credentials():
        live = [secret for secret in each.secrets if secret.ends_at is None or not over(context.now, secret.ends_at)]
        if live and each.disabled_at is None and not over(context.now, each.expires_at):
            used = max((secret.last_used_at for secret in live if secret.last_used_at), default=None)
            documents.append(
                {
                    "owner": each.owner,
                    "name": each.name,
                    "client_id": each.client_id,
                    "has_key": each.works_without_secret,
                    "secret_created_at": iso(min(secret.created_at for secret in live)),
                    "secret_last_used_at": iso_or_none(used),
                }
            )
    documents.sort(key=lambda each: (each["has_key"], each["owner"], each["client_id"]))
    columns = ("owner", "name", "client_id", "has_key", "secret_created_at", "secret_last_used_at")
    return Answer(documents, table(columns, documents, empty="Nobody uses a secret."))


def shared_secrets(limit: int) -> Answer:
    """Count the credentials that still use a shared secret, by owner and by API, the most first."""
    context = command_context()
    report = context.store.shared_secrets.report(context.now, limit)
    counts = {"credentials": report.credentials, "with_secret": report.with_secret, "only_secret": report.only_secret}
    owners, apis = ([asdict(each) for each in found] for found in (report.owners, report.apis))
    human = [
        *fields(counts),
        *line(""),
        *table(("owner", "credentials", "only_secret"), owners, empty="Nobody uses a secret."),
        *line(""),
        *table(("name", "audience", "credentials"), apis, empty="No API was called by secret in the last 30 days."),
    ]
    return Answer({**counts, "owners": owners, "apis": apis}, human)
