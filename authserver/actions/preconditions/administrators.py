"""Keeps at least one user who can manage users."""

from collections.abc import Iterator
from contextlib import contextmanager

from authserver.ports.errors import Conflict
from authserver.ports.transaction import Transaction
from authserver.rules.permission import USERS


class LastAdministrator(Conflict):
    """No user would be left who can manage users; only the command line may do that, in an emergency."""

    def __init__(self) -> None:
        super().__init__("Nobody would be left who can manage users. Give somebody else that permission first.")


@contextmanager
def require_administrator(tx: Transaction, *, enforce: bool) -> Iterator[None]:
    """Refuse the change made inside when it removes the last user who can manage users.

    With ``enforce`` false, or where there was no such user before, every change is allowed.
    """
    before = tx.users_with_permission(USERS) if enforce else frozenset()
    yield
    if before and not tx.users_with_permission(USERS):
        raise LastAdministrator
