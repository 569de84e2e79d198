"""The address that a user is mailed at: about their own credentials, and about nothing else."""

import re

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Conflict, Invalid
from authserver.rules.facts import Instant

MAX_ADDRESS = 254
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")


def address_fault(address: str) -> str:
    """Say what is wrong with an address; empty when nothing is."""
    if len(address) <= MAX_ADDRESS and _ADDRESS.fullmatch(address) and ".." not in address:
        return ""
    return f"an address is one like ada@example.com, of {MAX_ADDRESS} ASCII characters at most"


def set_address(accounts: Accounts, username: str, address: str | None, *, actor: str, now: Instant) -> None:
    """Mail a user at an address, or, with None, no more. The address itself stays out of the audit.

    Raises:
        Conflict: it is so already.
        Invalid: no such address can be.
        NotFound: no such user.
    """
    if address is not None and address_fault(address):
        raise Invalid(address_fault(address))
    with accounts.change(Event("user.email_set", actor, username), now) as tx:
        user = tx.user(username)
        tx.set_target(user.username)
        if not tx.set_email(user.id, address):
            msg = "it is so already"
            raise Conflict(msg)
        tx.detail(user=user.id, removed=address is None)
