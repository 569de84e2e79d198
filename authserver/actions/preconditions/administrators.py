"""Keeps at least one user who can manage users."""

from collections.abc import Iterator
from contextlib import contextmanager

from authserver.ports.errors import Conflict
from authserver.ports.transaction import Transaction
from authserver.rules.permission import USERS


class LastAdministrator(Conflict):
    """Nobody would be left who can manage users; only the shell may do that, in an emergency."""

    def __init__(self) -> None:
        super().__init__("Nobody would be left who can manage users. Give somebody else that permission first.")


@contextmanager
def require_administrator(tx: Transaction, *, asked: bool) -> Iterator[None]:
    """Refuse what is done inside when it takes the last one who can manage users; where there is none, nothing can."""
    before = tx.users_with_permission(USERS) if asked else frozenset()
    yield
    if before and not tx.users_with_permission(USERS):
        raise LastAdministrator
