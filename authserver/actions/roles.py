"""Roles: create and delete."""

import uuid
from collections.abc import Sequence

from authserver.actions.preconditions.administrators import require_administrator
from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid
from authserver.ports.users import Role
from authserver.rules.facts import Instant
from authserver.rules.names import KINDS, role_name_fault


def create_role(
    accounts: Accounts, name: str, kind: str, permissions: Sequence[str], *, actor: str, now: Instant
) -> Role:
    """Make a role.

    Raises:
        Invalid: the name, kind or a permission is invalid.
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


_MAX_NAMED = 5
"""How many users the error text names; it counts the others."""


class LastOperationalRole(Conflict):
    """Users would be left without an operational role; ``users`` names some of them, ``more`` counts the others."""

    def __init__(self, users: Sequence[str], more: int) -> None:
        self.users, self.more = tuple(users), more
        others = f" and {more} more" if more else ""
        super().__init__(
            f"{', '.join(users)}{others} would be left without an operational role; grant another one first"
        )


def delete_role(accounts: Accounts, name: str, *, actor: str, now: Instant, keep_administrator: bool = False) -> int:
    """Delete a role; every holder's tokens end. Returns how many users held it.

    Raises:
        NotFound: no such role.
        LastOperationalRole: a user holds no other operational role (PRODUCT.md §1).
        LastAdministrator: with ``keep_administrator``, when nobody else can manage users.
    """
    with accounts.change(Event("role.deleted", actor, name), now) as tx:
        role = tx.role(name)
        usernames = tx.only_operational(role)
        if usernames:
            raise LastOperationalRole(usernames[:_MAX_NAMED], len(usernames[_MAX_NAMED:]))
        with require_administrator(tx, enforce=keep_administrator):
            holders = tx.delete_role(role, now)
        tx.detail(role=role.id, holders=holders)
    return holders
