"""Users and roles. Every change of who holds what raises the role version in the same transaction (INV-01).

A password is kept only as an argon2id hash, and no word of it reaches an event.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from argon2 import PasswordHasher

from authserver.audit import Event
from authserver.ports import Accounts, Conflict, Invalid, Role, Transaction, User
from authserver.rules.facts import Instant
from authserver.rules.names import KINDS, role_name_fault, username_fault
from authserver.rules.password import password_fault
from authserver.rules.permission import USERS


def create_role(
    accounts: Accounts, name: str, kind: str, permissions: Sequence[str], *, actor: str, now: Instant
) -> Role:
    """Make a role.

    Raises:
        Invalid: the name, kind or a permission cannot be.
        Conflict: there is a live role of that name.
    """
    fault = role_name_fault(name)
    if kind not in KINDS:
        fault = f"a role's kind is one of {', '.join(KINDS)}"
    if any(role_name_fault(each) for each in permissions):
        fault = "a permission is 1 to 64 of A-Z a-z 0-9 . _ : / - and starts with a letter or digit"
    if fault:
        raise Invalid(fault)
    role = Role(f"rol_{uuid.uuid4().hex}", name, kind, tuple(sorted(set(permissions))))
    event = Event("role.created", actor, role.id, {"name": name, "kind": kind, "permissions": list(role.permissions)})
    with accounts.change(event, now) as tx:
        tx.insert_role(role, now)
    return role


_NAMED = 5
"""How many people a refusal names; it counts the others."""


class LastAdministrator(Conflict):
    """Nobody would be left who can manage users; only the shell may do that, in an emergency."""

    def __init__(self) -> None:
        super().__init__("Nobody would be left who can manage users. Give somebody else that permission first.")


class LastOperationalRole(Conflict):
    """Somebody would be left without an operational role; ``users`` names some of them, ``more`` counts the others."""

    def __init__(self, users: Sequence[str], more: int) -> None:
        self.users, self.more = tuple(users), more
        others = f" and {more} more" if more else ""
        super().__init__(
            f"{', '.join(users)}{others} would be left without an operational role; grant another one first"
        )


def delete_role(accounts: Accounts, name: str, *, actor: str, now: Instant, keep_administrator: bool = False) -> int:
    """Delete a role; every holder's tokens die. How many held it.

    Raises:
        NotFound: no such role.
        LastOperationalRole: somebody holds no other operational role (PRODUCT.md §1).
        LastAdministrator: with ``keep_administrator``, when nobody else can manage users.
    """
    with accounts.change(Event("role.deleted", actor, name), now) as tx:
        role = tx.role(name)
        bare = tx.only_operational(role)
        if bare:
            raise LastOperationalRole(bare[:_NAMED], len(bare[_NAMED:]))
        with _kept_administrator(tx, asked=keep_administrator):
            holders = tx.delete_role(role, now)
        tx.detail(role=role.id, holders=holders)
    return holders


def hash_password(username: str, password: str) -> str:
    """Hash a password that may be used, by argon2id (RFC 9106).

    Raises:
        Invalid: too short, too long, or too well known.
    """
    fault = password_fault(password, username)
    if fault:
        raise Invalid(fault)
    return PasswordHasher().hash(password)


def set_password(
    accounts: Accounts, username: str, password_hash: str, *, actor: str, now: Instant, keep: str = ""
) -> User:
    """Give a user the password that ``hash_password`` took; ends every sign-in but the one with the handle ``keep``.

    Raises:
        NotFound: no such user.
    """
    with accounts.change(Event("user.password_set", actor, username), now) as tx:
        user = tx.user(username)
        tx.about(user.username)
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
        Invalid: the name cannot be, or there is no operational role among ``roles``.
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
        _needs_operational(held)
        user = User(user_id, username, held, 1, None, now)
        tx.insert_user(user, password_hash)
    return user


def grant(accounts: Accounts, username: str, role_name: str, *, actor: str, now: Instant) -> int:
    """Assign a role; the new role version.

    Raises:
        Conflict: the user holds it already.
    """
    with accounts.change(Event("user.role_granted", actor, username, {"role": role_name}), now) as tx:
        user, role = tx.user(username), tx.role(role_name)
        if role.id in {each.id for each in user.roles}:
            msg = f"{username} holds {role_name} already"
            raise Conflict(msg)
        version = tx.grant(user, role, now)
        tx.about(user.username)
        tx.detail(user=user.id, role_id=role.id, role_version=version)
    return version


def revoke(
    accounts: Accounts, username: str, role_name: str, *, actor: str, now: Instant, keep_administrator: bool = False
) -> int:
    """Remove a role; the new role version.

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
        _needs_operational([each for each in user.roles if each.id != role.id])
        with _kept_administrator(tx, asked=keep_administrator):
            version = tx.revoke(user, role, now)
        tx.about(user.username)
        tx.detail(user=user.id, role_id=role.id, role_version=version)
    return version


def disable(accounts: Accounts, username: str, *, actor: str, now: Instant, keep_administrator: bool = False) -> int:
    """Deactivate a user; the new role version.

    Raises:
        Conflict: the user is disabled already.
        LastAdministrator: with ``keep_administrator``, when nobody else can manage users.
    """
    return _switch(accounts, username, "user.disabled", now, actor=actor, now=now, keep=keep_administrator)


def enable(accounts: Accounts, username: str, *, actor: str, now: Instant) -> int:
    """Reactivate a user; tokens from before stay dead. The new role version."""
    return _switch(accounts, username, "user.enabled", None, actor=actor, now=now)


def _switch(
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
        with _kept_administrator(tx, asked=keep):
            version = tx.switch_user(user, disabled_at, now)
        tx.about(user.username)
        tx.detail(user=user.id, role_version=version)
    return version


@contextmanager
def _kept_administrator(tx: Transaction, *, asked: bool) -> Iterator[None]:
    """Refuse what is done inside when it takes the last one who can manage users; where there is none, nothing can."""
    before = tx.able(USERS) if asked else frozenset()
    yield
    if before and not tx.able(USERS):
        raise LastAdministrator


def _needs_operational(roles: Sequence[Role]) -> None:
    if not any(role.kind == "operational" for role in roles):
        msg = "a user holds at least one operational role"
        raise Invalid(msg)
