"""Users: create, assign and remove roles, disable and enable.

Every change of roles raises the role version in the same transaction (INV-01).
"""

import uuid
from collections.abc import Sequence

from argon2 import PasswordHasher

from authserver.actions.preconditions.administrators import require_administrator
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.users import Role, User
from authserver.rules.facts import Instant
from authserver.rules.names import username_fault
from authserver.rules.password import password_fault


def hash_password(username: str, password: str) -> str:
    """Check and hash a new password, by argon2id (RFC 9106).

    Raises:
        Invalid: too short, too long, or among the first that are guessed.
    """
    fault = password_fault(password, username)
    if fault:
        raise Invalid(fault)
    return PasswordHasher().hash(password)


def set_password(
    accounts: Accounts, username: str, password_hash: str, *, actor: str, now: Instant, keep: str = ""
) -> User:
    """Set a user's password hash; ends every console session but the one with the handle ``keep``.

    Raises:
        NotFound: no such user.
    """
    with accounts.change(Event("user.password_set", actor, username), now) as tx:
        user = tx.user(username)
        tx.set_target(user.username)
        tx.set_password(user, password_hash)
        tx.end_console_sessions(user.id, keep)
        tx.detail(user=user.id)
    return user


def create_user(
    accounts: Accounts,
    username: str,
    roles: Sequence[str],
    *,
    actor: str,
    now: Instant,
    password_hash: str | None = None,
) -> User:
    """Make a user with at least one operational role.

    Raises:
        Invalid: the name is invalid, or there is no operational role among ``roles``.
        Conflict: the name is taken, in any letter case.
        NotFound: no such role.
    """
    fault = username_fault(username)
    if fault:
        raise Invalid(fault)
    user_id = f"usr_{uuid.uuid4().hex}"
    event = Event("user.created", actor, user_id, {"username": username, "roles": sorted(set(roles))})
    with accounts.change(event, now) as tx:
        held = tuple(tx.role(name) for name in sorted(set(roles)))
        _require_operational(held)
        user = User(user_id, username, held, 1, None, now)
        tx.insert_user(user, password_hash)
    return user


def grant(accounts: Accounts, username: str, role_name: str, *, actor: str, now: Instant) -> int:
    """Assign a role; returns the new role version.

    Raises:
        Conflict: the user holds it already.
    """
    with accounts.change(Event("user.role_granted", actor, username, {"role": role_name}), now) as tx:
        user, role = tx.user(username), tx.role(role_name)
        if role.id in {each.id for each in user.roles}:
            msg = f"{username} holds {role_name} already"
            raise Conflict(msg)
        version = tx.grant(user, role, now)
        tx.set_target(user.username)
        tx.detail(user=user.id, role_id=role.id, role_version=version)
    return version


def revoke(
    accounts: Accounts, username: str, role_name: str, *, actor: str, now: Instant, keep_administrator: bool = False
) -> int:
    """Remove a role; returns the new role version.

    Raises:
        Conflict: the user does not hold it.
        Invalid: it is the user's last operational role.
        LastAdministrator: with ``keep_administrator``, when nobody else can manage users.
    """
    with accounts.change(Event("user.role_revoked", actor, username, {"role": role_name}), now) as tx:
        user, role = tx.user(username), tx.role(role_name)
        if role.id not in {each.id for each in user.roles}:
            msg = f"{username} does not hold {role_name}"
            raise Conflict(msg)
        _require_operational([each for each in user.roles if each.id != role.id])
        with require_administrator(tx, enforce=keep_administrator):
            version = tx.revoke(user, role, now)
        tx.set_target(user.username)
        tx.detail(user=user.id, role_id=role.id, role_version=version)
    return version


def disable(accounts: Accounts, username: str, *, actor: str, now: Instant, keep_administrator: bool = False) -> int:
    """Disable a user; returns the new role version.

    Raises:
        Conflict: the user is disabled already.
        LastAdministrator: with ``keep_administrator``, when no other user can manage users.
    """
    return _set_disabled(accounts, username, "user.disabled", now, actor=actor, now=now, keep=keep_administrator)


def enable(accounts: Accounts, username: str, *, actor: str, now: Instant) -> int:
    """Enable a user; tokens from before stay dead. Returns the new role version."""
    return _set_disabled(accounts, username, "user.enabled", None, actor=actor, now=now)


def _set_disabled(
    accounts: Accounts,
    username: str,
    name: str,
    disabled_at: Instant | None,
    *,
    actor: str,
    now: Instant,
    keep: bool = False,
) -> int:
    with accounts.change(Event(name, actor, username), now) as tx:
        user = tx.user(username)
        if (user.disabled_at is None) == (disabled_at is None):
            msg = f"{username} is {'enabled' if disabled_at is None else 'disabled'} already"
            raise Conflict(msg)
        with require_administrator(tx, enforce=keep):
            version = tx.switch_user(user, disabled_at, now)
        tx.set_target(user.username)
        tx.detail(user=user.id, role_version=version)
    return version


def _require_operational(roles: Sequence[Role]) -> None:
    if not any(role.kind == "operational" for role in roles):
        msg = "a user holds at least one operational role"
        raise Invalid(msg)
