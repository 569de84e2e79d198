"""Demo data for a first start: only on an empty embedded database on loopback; random secrets are printed once."""

import shlex
from dataclasses import dataclass

from authserver.actions.credentials import create
from authserver.actions.resource_servers import register_resource_server
from authserver.actions.roles import create_role
from authserver.actions.sign_in import link_url, make_link
from authserver.actions.users import create_user
from authserver.ports.accounts import Accounts
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY

ADMINISTRATOR = "admin"
AUDIENCE = "https://api.example.com"
_ACTOR = "system"
_LIFE = 90 * DAY

ROLES = (
    ("reports.read", "operational", ()),
    ("invoices.read", "operational", ()),
    (
        "administrator",
        "builder",
        ("keys:manage", "resource-servers:manage", "security:view", "settings:manage", "users:manage"),
    ),
)


@dataclass(frozen=True, slots=True, repr=False)
class DemoSecrets:
    """Secrets that are printed once. Has no repr."""

    client_id: str
    client_secret: str
    api_id: str
    api_secret: str
    link_code: str


def seed(accounts: Accounts, pepper: bytes, now: Instant) -> DemoSecrets | None:
    """Make a first administrator, sample roles, a sample resource server and a sample credential.

    Returns:
        The secrets, or None when the database is not empty.
    """
    if accounts.users() or accounts.roles() or accounts.resource_servers():
        return None
    for name, kind, permissions in ROLES:
        create_role(accounts, name, kind, permissions, actor=_ACTOR, now=now)
    create_user(accounts, ADMINISTRATOR, [name for name, _, _ in ROLES], actor=_ACTOR, now=now)
    api = register_resource_server(accounts, "Sample API", AUDIENCE, pepper=pepper, actor=_ACTOR, now=now)
    made = create(
        accounts,
        ADMINISTRATOR,
        "Sample credential",
        now + _LIFE,
        ["reports.read", "invoices.read"],
        pepper=pepper,
        actor=_ACTOR,
        now=now,
    )
    link = make_link(accounts, ADMINISTRATOR, actor=_ACTOR, now=now)
    return DemoSecrets(made.credential.client_id, made.secret, api.server.client_id, api.secret, link.code)


def lines(shown: DemoSecrets, url: str, database_url: str = "") -> str:
    """Ready-to-paste commands for a token, its introspection and its death, in any shell.

    Each is one physical line, so nothing is lost between two halves of it; the
    comments hold nothing that a shell without comments would take for a quote.
    """
    where = f"AUTHSERVER_DATABASE_URL={shlex.quote(database_url)} " if database_url else ""
    client, api = f"{shown.client_id}:{shown.client_secret}", f"{shown.api_id}:{shown.api_secret}"
    return f"""\
Demo data was made; its secrets are random and shown this once. This link opens the console as {ADMINISTRATOR}, once and
within 15 minutes; `.venv/bin/flask users login-link {ADMINISTRATOR}` makes another:

{link_url(url, shown.link_code)}

Paste into another terminal, in this folder:

# a token
ANSWER=$(curl -s -u {client} -d grant_type=client_credentials {url}/oauth/token); echo "$ANSWER"
TOKEN=$(echo "$ANSWER" | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

# its introspection, as an API does it: active
curl -s -w '\\n' -u {api} -d "token=$TOKEN" {url}/oauth/introspect

# a change of the roles of its owner; then introspect again: inactive, for good
{where}.venv/bin/flask users revoke {ADMINISTRATOR} invoices.read

"""
