"""Resource servers and general settings."""

import secrets as dice
import uuid
from dataclasses import asdict, dataclass

from authserver.audit import Event
from authserver.ports import Accounts, Conflict, GeneralSettings, Invalid, ResourceServer
from authserver.rules.facts import Instant
from authserver.rules.names import audience_fault, display_name_fault
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, hint, keyed_hash, mint

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
BOUNDS = {
    "idle_timeout_minutes": (1, 1440),
    "max_token_lifetime_minutes": (1, 43200),
    "max_credential_days": (1, 3650),
}


@dataclass(frozen=True, slots=True, repr=False)
class RegisteredServer:
    """A resource server with its secret, for the one moment it may be seen. Has no repr."""

    server: ResourceServer
    secret: str


def register_resource_server(
    accounts: Accounts,
    name: str,
    audience: str,
    *,
    pepper: bytes,
    actor: str,
    now: Instant,
    token_alg: str | None = None,
) -> RegisteredServer:
    """Register an API; its secret is shown once.

    Raises:
        Invalid: name, audience or algorithm cannot be.
        Conflict: name or audience is taken.
    """
    fault = display_name_fault(name) or audience_fault(audience)
    if token_alg is not None and token_alg not in ALGORITHMS:
        fault = f"an algorithm is one of {', '.join(ALGORITHMS)}"
    if fault:
        raise Invalid(fault)
    server = ResourceServer(f"rs_{uuid.uuid4().hex}", str(uuid.uuid4()), name, audience, token_alg, now, None)
    secret = mint(RESOURCE_SERVER_PREFIX, dice.choice)
    event = Event("resource_server.created", actor, server.id, {"name": name, "audience": audience})
    with accounts.change(event, now) as tx:
        tx.insert_resource_server(server, keyed_hash(pepper, secret), hint(secret))
    return RegisteredServer(server, secret)


def set_general(accounts: Accounts, name: str, value: str, *, actor: str, now: Instant) -> GeneralSettings:
    """Change one general setting; it holds for live tokens at once.

    Raises:
        Invalid: no such setting, or a value out of bounds.
        Conflict: it has that value already.
    """
    parsed: object
    if name in BOUNDS:
        low, high = BOUNDS[name]
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            msg = f"{name} is a whole number from {low} to {high}"
            raise Invalid(msg)
        parsed = int(value)
    elif name == "default_audience":
        parsed = value or None
        registered = [server.audience for server in accounts.resource_servers()]
        if value and value not in registered:
            msg = f"default_audience is one of {', '.join(registered) or 'none: register a resource server first'}"
            raise Invalid(msg)
    elif name == "token_alg":
        if value not in ALGORITHMS:
            msg = f"token_alg is one of {', '.join(ALGORITHMS)}"
            raise Invalid(msg)
        parsed = value
    else:
        msg = f"there is no setting {name!r}; there are {', '.join((*BOUNDS, 'default_audience', 'token_alg'))}"
        raise Invalid(msg)
    with accounts.change(Event("settings.changed", actor, name), now) as tx:
        before = asdict(tx.general())[name]
        if before == parsed:
            msg = f"{name} is {value} already"
            raise Conflict(msg)
        tx.detail(before=before, after=parsed)
        tx.update_settings(**{name: parsed})
        return tx.general()
