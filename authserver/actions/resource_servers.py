"""Resource servers: register, edit, regenerate the secret, disable and enable."""

import hmac
import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from authserver.actions.preconditions.token_algorithms import require_usable_algorithm
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.resource_servers import MANAGEMENT_API, TOKEN_TYPES, ResourceServer
from authserver.ports.transaction import Transaction
from authserver.rules.client_authentication.policy import REQUIREMENTS
from authserver.rules.facts import Instant
from authserver.rules.names import audience_fault, display_name_fault
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, hint, keyed_hash, mint

_FORMS = "resource_servers"


@dataclass(frozen=True, slots=True, repr=False)
class RegisteredServer:
    """A resource server with its secret, which is shown once. Has no repr, so it cannot be logged by accident."""

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
    token_typ: str = TOKEN_TYPES[0],
    form_key: str | None = None,
) -> RegisteredServer:
    """Register an API; its secret is returned once. A form sent twice with one ``form_key`` registers one (INV-23).

    Raises:
        AlreadyDone: the form was sent before; ``subject`` is the id of what it made.
        Invalid: name, audience, algorithm or ``typ`` are invalid.
        Conflict: name or audience is taken, or no key is active for the algorithm.
    """
    fault = display_name_fault(name) or audience_fault(audience) or _typ_fault(token_typ)
    if fault:
        raise Invalid(fault)
    server_id, client_id = f"rs_{uuid.uuid4().hex}", str(uuid.uuid4())
    server = ResourceServer(server_id, client_id, name, audience, token_alg, now, None, token_typ=token_typ)
    secret = mint(RESOURCE_SERVER_PREFIX, secrets.choice)
    detail: dict[str, object] = {"name": name, "audience": audience}
    if token_typ != TOKEN_TYPES[0]:
        detail["token_typ"] = token_typ
    event = Event("resource_server.created", actor, server.id, detail)
    with accounts.change(event, now) as tx:
        if form_key is not None:
            tx.claim_form_key(_FORMS, form_key, server.id, now)
        if token_alg is not None:
            require_usable_algorithm(tx, token_alg)
        tx.insert_resource_server(server, keyed_hash(pepper, secret), hint(secret))
    return RegisteredServer(server, secret)


MANAGEMENT_API_NAME = "Management API"


def management_api_secret(pepper: bytes) -> bytes:
    """What the server proves itself with when it introspects as its own API: no secret that is sent hashes to this."""
    return hmac.digest(pepper, b"management api 1", "sha256")


def management_api(accounts: Accounts) -> ResourceServer | None:
    """The resource server of this server's own API; None until ``register_management_api``."""
    return next((server for server in accounts.resource_servers() if server.purpose == MANAGEMENT_API), None)


def register_management_api(
    accounts: Accounts, audience: str, *, pepper: bytes, actor: str, now: Instant
) -> ResourceServer:
    """Register the resource server of this server's own API; where that was done before, nothing is changed.

    It has no secret that could be sent: nobody else introspects tokens for it.

    Raises:
        Invalid: the audience cannot be.
        Conflict: it is registered for another audience, or name or audience is taken.
    """
    known = management_api(accounts)
    if known is not None:
        if known.audience != audience:
            msg = f"the management API is registered for {known.audience} already; tokens for it name that"
            raise Conflict(msg)
        return known
    fault = audience_fault(audience)
    if fault:
        raise Invalid(fault)
    server_id, client_id = f"rs_{uuid.uuid4().hex}", str(uuid.uuid4())
    server = ResourceServer(
        server_id, client_id, MANAGEMENT_API_NAME, audience, None, now, None, purpose=MANAGEMENT_API
    )
    event = Event("resource_server.created", actor, server.id, {"name": server.name, "audience": audience})
    with accounts.change(event, now) as tx:
        tx.insert_resource_server(server, management_api_secret(pepper), "")
    return server


def regenerate_resource_server(
    accounts: Accounts, name: str, *, pepper: bytes, actor: str, now: Instant, form_key: str | None = None
) -> RegisteredServer:
    """Make a new secret for a resource server; the old one ends now.

    Raises:
        AlreadyDone: with a ``form_key`` that was used before; nothing is changed again (INV-23).
        NotFound: no such resource server.
    """
    secret = mint(RESOURCE_SERVER_PREFIX, secrets.choice)
    with accounts.change(Event("resource_server.regenerated", actor, name), now) as tx:
        server = tx.resource_server(name)
        if server.purpose == MANAGEMENT_API:
            msg = "the management API has no secret that could be sent; nothing but this server asks for it"
            raise Conflict(msg)
        if form_key is not None:
            tx.claim_form_key(_FORMS, form_key, server.id, now)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, secret_hash=keyed_hash(pepper, secret), secret_hint=hint(secret))
    return RegisteredServer(server, secret)


@contextmanager
def _editing(accounts: Accounts, name: str, actor: str, now: Instant) -> Iterator[tuple[Transaction, ResourceServer]]:
    """One change of one value of a resource server, on record under its id."""
    with accounts.change(Event("resource_server.edited", actor, name), now) as tx:
        server = tx.resource_server(name)
        tx.detail(resource_server=server.id)
        yield tx, server


def edit_resource_server(
    accounts: Accounts, name: str, token_alg: str | None, *, actor: str, now: Instant
) -> ResourceServer:
    """Set the algorithm that tokens for a resource server are signed with; None for the general setting.

    Raises:
        NotFound: no such resource server.
        Invalid: no such algorithm.
        Conflict: it has that algorithm already, or no key is active for it.
    """
    with _editing(accounts, name, actor, now) as (tx, server):
        if server.token_alg == token_alg:
            msg = f"{server.name} has {token_alg or 'the general algorithm'} already"
            raise Conflict(msg)
        if token_alg is not None:
            require_usable_algorithm(tx, token_alg)
        tx.detail(before=server.token_alg, after=token_alg)
        tx.update_resource_server(server.id, token_alg=token_alg)
    return replace(server, token_alg=token_alg)


MAX_STALENESS = 3600
"""Seconds; the longest that an answer may be trusted."""


def bound_staleness(accounts: Accounts, name: str, seconds: int, *, actor: str, now: Instant) -> ResourceServer:
    """Set for how many seconds a resource server may trust an introspection response; 0: it asks for each call.

    Raises:
        NotFound: no such resource server.
        Invalid: out of bounds.
        Conflict: it has that bound already.
    """
    if not 0 <= seconds <= MAX_STALENESS:
        msg = f"max_staleness is a whole number of seconds from 0 to {MAX_STALENESS}"
        raise Invalid(msg)
    with _editing(accounts, name, actor, now) as (tx, server):
        if server.max_staleness == seconds:
            msg = f"{server.name} may trust an answer for {seconds} s already"
            raise Conflict(msg)
        tx.detail(setting="max_staleness", before=server.max_staleness, after=seconds)
        tx.update_resource_server(server.id, max_staleness=seconds)
    return replace(server, max_staleness=seconds)


def require_of_tokens(
    accounts: Accounts, name: str, requirements: Sequence[str], *, actor: str, now: Instant
) -> ResourceServer:
    """Set what token requests for a resource server must meet; tokens from before live on to their end.

    Raises:
        NotFound: no such resource server.
        Invalid: no such requirement.
        Conflict: it requires just that already.
    """
    required = tuple(each for each in REQUIREMENTS if each in requirements)
    if len(required) != len(set(requirements)):
        msg = f"a requirement is one of {', '.join(REQUIREMENTS)}"
        raise Invalid(msg)
    with _editing(accounts, name, actor, now) as (tx, server):
        if server.requires == required:
            msg = f"{server.name} requires just that already"
            raise Conflict(msg)
        tx.detail(setting="requires", before=list(server.requires), after=list(required))
        tx.update_resource_server(server.id, requires=" ".join(required) or None)
    return replace(server, requires=required)


def choose_token_typ(accounts: Accounts, name: str, token_typ: str, *, actor: str, now: Instant) -> ResourceServer:
    """Set the ``typ`` of tokens for a resource server; a token of before is inactive when it is next asked about.

    Raises:
        NotFound: no such resource server.
        Invalid: no such type.
        Conflict: it has that type already.
    """
    fault = _typ_fault(token_typ)
    if fault:
        raise Invalid(fault)
    with _editing(accounts, name, actor, now) as (tx, server):
        if server.token_typ == token_typ:
            msg = f"tokens for {server.name} have the typ {token_typ} already"
            raise Conflict(msg)
        tx.detail(setting="token_typ", before=server.token_typ, after=token_typ)
        tx.update_resource_server(server.id, token_typ=token_typ)
    return replace(server, token_typ=token_typ)


def _typ_fault(token_typ: str) -> str:
    return "" if token_typ in TOKEN_TYPES else f"token_typ is one of {', '.join(TOKEN_TYPES)}"


def name_jwks_client(accounts: Accounts, name: str, *, actor: str, now: Instant) -> str:
    """Make a new ``jwks_client`` name, which a resource server sends when it fetches the JWKS; replaces the old one.

    It is no credential and authorizes nothing: it only identifies whose cache was filled.

    Raises:
        NotFound: no such resource server.
    """
    token = secrets.token_urlsafe(16)
    with accounts.change(Event("resource_server.jwks_client_named", actor, name), now) as tx:
        server = tx.resource_server(name)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, jwks_client=token)
    return token


def disable_resource_server(accounts: Accounts, name: str, *, actor: str, now: Instant) -> ResourceServer:
    """Disable a resource server: it may not introspect, and no token is issued for its audience.

    Raises:
        NotFound: no such resource server.
        Conflict: it is disabled already.
    """
    return _set_disabled(accounts, name, "resource_server.disabled", now, actor=actor, now=now)


def enable_resource_server(accounts: Accounts, name: str, *, actor: str, now: Instant) -> ResourceServer:
    """Enable a resource server again.

    Raises:
        NotFound: no such resource server.
        Conflict: it is enabled already, or no key is active for its algorithm any more.
    """
    return _set_disabled(accounts, name, "resource_server.enabled", None, actor=actor, now=now)


def _set_disabled(
    accounts: Accounts, name: str, event: str, disabled_at: Instant | None, *, actor: str, now: Instant
) -> ResourceServer:
    with accounts.change(Event(event, actor, name), now) as tx:
        server = tx.resource_server(name)
        if (server.disabled_at is None) == (disabled_at is None):
            msg = f"{server.name} is {'enabled' if disabled_at is None else 'disabled'} already"
            raise Conflict(msg)
        if disabled_at is None and server.token_alg is not None:
            require_usable_algorithm(tx, server.token_alg)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, disabled_at=disabled_at)
    return replace(server, disabled_at=disabled_at)
