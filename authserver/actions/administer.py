"""Resource servers, general settings, and what to do when the database came from a backup."""

import re
import secrets as dice
import uuid
from dataclasses import asdict, dataclass, replace

from authserver.audit import Event
from authserver.ports import Accounts, Conflict, GeneralSettings, Invalid, ResourceServer, Transaction
from authserver.rules.facts import Instant
from authserver.rules.idle import used_since
from authserver.rules.lifetime import issued_since
from authserver.rules.names import audience_fault, display_name_fault
from authserver.rules.secret_format import RESOURCE_SERVER_PREFIX, hint, keyed_hash, mint
from keys.keyring import POST_QUANTUM

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
_FORMS = "resource_servers"
_NUMBER = re.compile("[0-9]{1,9}")
BOUNDS = {
    "idle_timeout_minutes": (1, 1440),
    "max_token_lifetime_minutes": (1, 43200),
    "max_credential_days": (1, 3650),
    "max_credentials_per_user": (1, 10_000),
    "key_rotation_days": (0, 3650),
    # An hour is far above what keys.rotation.SHORTEST_ANNOUNCEMENT asks.
    "key_announcement_hours": (1, 720),
    "key_patience_hours": (0, 2160),
    "post_quantum": (0, 1),
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
    form_key: str | None = None,
) -> RegisteredServer:
    """Register an API; its secret is shown once. A form sent twice, by its ``form_key``, makes one (INV-23).

    Raises:
        AlreadyDone: the form was sent before; ``subject`` is the id of what it made.
        Invalid: name, audience or algorithm cannot be.
        Conflict: name or audience is taken, or no key is active for the algorithm.
    """
    fault = display_name_fault(name) or audience_fault(audience)
    if fault:
        raise Invalid(fault)
    server = ResourceServer(f"rs_{uuid.uuid4().hex}", str(uuid.uuid4()), name, audience, token_alg, now, None)
    secret = mint(RESOURCE_SERVER_PREFIX, dice.choice)
    event = Event("resource_server.created", actor, server.id, {"name": name, "audience": audience})
    with accounts.change(event, now) as tx:
        if form_key is not None:
            tx.once(_FORMS, form_key, server.id, now)
        if token_alg is not None:
            _choosable(tx, token_alg)
        tx.insert_resource_server(server, keyed_hash(pepper, secret), hint(secret))
    return RegisteredServer(server, secret)


def regenerate_resource_server(
    accounts: Accounts, name: str, *, pepper: bytes, actor: str, now: Instant, form_key: str | None = None
) -> RegisteredServer:
    """Make a new secret for a resource server; the old one ends now.

    Raises:
        AlreadyDone: with a ``form_key`` that was used before; nothing is changed again (INV-23).
        NotFound: no such resource server.
    """
    secret = mint(RESOURCE_SERVER_PREFIX, dice.choice)
    with accounts.change(Event("resource_server.regenerated", actor, name), now) as tx:
        server = tx.resource_server(name)
        if form_key is not None:
            tx.once(_FORMS, form_key, server.id, now)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, secret_hash=keyed_hash(pepper, secret), secret_hint=hint(secret))
    return RegisteredServer(server, secret)


def edit_resource_server(
    accounts: Accounts, name: str, token_alg: str | None, *, actor: str, now: Instant
) -> ResourceServer:
    """Choose what tokens for a resource server are signed with; None for the general setting.

    Raises:
        NotFound: no such resource server.
        Invalid: no such algorithm.
        Conflict: it is so already, or no key is active for the algorithm.
    """
    with accounts.change(Event("resource_server.edited", actor, name), now) as tx:
        server = tx.resource_server(name)
        if server.token_alg == token_alg:
            msg = f"{server.name} has {token_alg or 'the general algorithm'} already"
            raise Conflict(msg)
        if token_alg is not None:
            _choosable(tx, token_alg)
        tx.detail(resource_server=server.id, before=server.token_alg, after=token_alg)
        tx.update_resource_server(server.id, token_alg=token_alg)
    return replace(server, token_alg=token_alg)


def name_jwks_client(accounts: Accounts, name: str, *, actor: str, now: Instant) -> str:
    """Give a resource server a new name for its fetches of the JWKS, to be sent as ``jwks_client``; the old one ends.

    It proves nothing and opens nothing: it only tells whose cache was filled.

    Raises:
        NotFound: no such resource server.
    """
    token = dice.token_urlsafe(16)
    with accounts.change(Event("resource_server.jwks_client_named", actor, name), now) as tx:
        server = tx.resource_server(name)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, jwks_client=token)
    return token


def disable_resource_server(accounts: Accounts, name: str, *, actor: str, now: Instant) -> ResourceServer:
    """Switch a resource server off: it may not introspect, and no token is issued for its audience.

    Raises:
        NotFound: no such resource server.
        Conflict: it is off already.
    """
    return _switch(accounts, name, "resource_server.disabled", now, actor=actor, now=now)


def enable_resource_server(accounts: Accounts, name: str, *, actor: str, now: Instant) -> ResourceServer:
    """Switch a resource server on again.

    Raises:
        NotFound: no such resource server.
        Conflict: it is on already, or no key is active for its algorithm any more.
    """
    return _switch(accounts, name, "resource_server.enabled", None, actor=actor, now=now)


def _switch(
    accounts: Accounts, name: str, event: str, disabled_at: Instant | None, *, actor: str, now: Instant
) -> ResourceServer:
    with accounts.change(Event(event, actor, name), now) as tx:
        server = tx.resource_server(name)
        if (server.disabled_at is None) == (disabled_at is None):
            msg = f"{server.name} is {'enabled' if disabled_at is None else 'disabled'} already"
            raise Conflict(msg)
        if disabled_at is None and server.token_alg is not None:
            _choosable(tx, server.token_alg)
        tx.detail(resource_server=server.id)
        tx.update_resource_server(server.id, disabled_at=disabled_at)
    return replace(server, disabled_at=disabled_at)


def _choosable(tx: Transaction, alg: str) -> None:
    """No algorithm is in use without a key that signs (INV-13), and none by surprise that few verifiers know."""
    if alg not in (*ALGORITHMS, *POST_QUANTUM):
        msg = f"an algorithm is one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
        raise Invalid(msg)
    if alg in POST_QUANTUM and not tx.general().post_quantum:
        msg = f"{alg} is published apart, where few verifiers look; `flask settings set post_quantum 1` opts in"
        raise Conflict(msg)
    if alg not in tx.algorithms_ready():
        msg = f"no key signs {alg} yet; `flask keys rotate --alg {alg}` makes one first"
        raise Conflict(msg)


def declare_restored(
    accounts: Accounts, *, actor: str, now: Instant, found: str = "", since: int | None = None
) -> GeneralSettings:
    """Say that this database came from a backup: every token issued before is dead (INV-03).

    Kills made after the backup are lost with it, so no older token can be trusted. The epoch
    jumps to the present, so that two restores of one backup never share a number.

    Args:
        accounts: where it is written.
        actor: who says so.
        now: seconds of UTC.
        found: how it was noticed, where nobody said it.
        since: the epoch this is about; None for whichever it is.

    Raises:
        Conflict: the epoch is above ``since`` already: another node was first.
    """
    event = Event("database.restored", actor, "database", {"found": found} if found else {})
    with accounts.change(event, now) as tx:
        before = tx.general().epoch
        if since is not None and before > since:
            msg = "the epoch was raised already"
            raise Conflict(msg)
        epoch = max(before + 1, (since or 0) + 1, now)
        tx.update_settings(epoch=epoch)
        tx.kill("epoch", "database", now, epoch)
        tx.detail(epoch=epoch)
        return tx.general()


def _killed_by(name: str, before: GeneralSettings, now: Instant) -> dict[str, Instant]:
    """What must be remembered of a value that is given up: whom it killed stays dead, also who was never asked for."""
    if name == "idle_timeout_minutes":
        return {"used_since": max(before.used_since, used_since(now, before.idle_timeout_minutes * 60))}
    if name == "max_token_lifetime_minutes":
        return {"issued_since": max(before.issued_since, issued_since(now, before.max_token_lifetime_minutes * 60))}
    return {}


class ChangedMeanwhile(Conflict):
    """Somebody else changed the setting after it was looked at; ``value`` is what it is now."""

    def __init__(self, value: str) -> None:
        super().__init__("Somebody else has changed this setting meanwhile.")
        self.value = value


def set_general(
    accounts: Accounts, name: str, value: str, *, actor: str, now: Instant, was: str | None = None
) -> GeneralSettings:
    """Change one general setting; it holds for live tokens at once.

    Raises:
        Invalid: no such setting, or a value out of bounds.
        ChangedMeanwhile: it is not what it ``was`` when somebody decided to change it.
        Conflict: it has that value already, or no key is active for the algorithm.
    """
    parsed = _parsed(accounts, name, value)
    with accounts.change(Event("settings.changed", actor, name), now) as tx:
        before = asdict(tx.general())[name]
        stands = "" if before is None else str(before)
        if was not in {None, stands}:
            raise ChangedMeanwhile(stands)
        if before == parsed:
            msg = f"{name} is {value} already"
            raise Conflict(msg)
        if name == "token_alg":
            _choosable(tx, value)
        if name == "post_quantum" and not parsed and tx.algorithms_in_use() & set(POST_QUANTUM):
            msg = "tokens are signed with ML-DSA; choose other algorithms first, then opt out"
            raise Conflict(msg)
        tx.detail(before=before, after=parsed)
        tx.update_settings(**{name: parsed}, **_killed_by(name, tx.general(), now))
        if name in {"idle_timeout_minutes", "max_token_lifetime_minutes"}:
            tx.kill("settings", name, now, int(value))
        return tx.general()


def _parsed(accounts: Accounts, name: str, value: str) -> int | str | None:
    if name in BOUNDS:
        low, high = BOUNDS[name]
        if not _NUMBER.fullmatch(value) or not low <= int(value) <= high:
            msg = f"{name} is a whole number from {low} to {high}"
            raise Invalid(msg)
        return int(value)
    if name == "default_audience":
        registered = [server.audience for server in accounts.resource_servers() if server.disabled_at is None]
        if value and value not in registered:
            msg = f"default_audience is one of {', '.join(registered) or 'none: register a resource server first'}"
            raise Invalid(msg)
        return value or None
    if name == "token_alg":
        if value not in (*ALGORITHMS, *POST_QUANTUM):
            msg = f"token_alg is one of {', '.join((*ALGORITHMS, *POST_QUANTUM))}"
            raise Invalid(msg)
        return value
    msg = f"there is no setting {name!r}; there are {', '.join((*BOUNDS, 'default_audience', 'token_alg'))}"
    raise Invalid(msg)
