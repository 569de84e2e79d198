"""Who somebody is at another provider: issuer and subject, joined to a user by an operator or by that user.

Nothing else joins them: neither a name nor an e-mail address that looks alike (T-113).
"""

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Invalid
from authserver.ports.users import User
from authserver.rules.facts import Instant
from authserver.rules.names import identity_fault


def link(accounts: Accounts, username: str, issuer: str, subject: str, *, actor: str, now: Instant) -> User:
    """Let whoever is ``subject`` at ``issuer`` sign in as a user.

    Raises:
        NotFound: no such user.
        Invalid: the issuer is no URL of one, or the subject cannot be.
        Conflict: the identity is somebody's already.
    """
    fault = identity_fault(issuer, subject)
    if fault:
        raise Invalid(fault)
    event = Event("user.identity_linked", actor, username, {"issuer": issuer, "subject": subject})
    with accounts.change(event, now) as tx:
        user = tx.user(username)
        tx.link_identity(user, issuer, subject, now)
        tx.detail(user=user.id)
    return user


def unlink(accounts: Accounts, username: str, issuer: str, subject: str, *, actor: str, now: Instant) -> User:
    """Take an identity from a user; who signed in by it is signed out.

    Raises:
        NotFound: no such user, or not that user's.
    """
    event = Event("user.identity_unlinked", actor, username, {"issuer": issuer, "subject": subject})
    with accounts.change(event, now) as tx:
        user = tx.user(username)
        tx.unlink_identity(user, issuer, subject)
        tx.detail(user=user.id)
    return user
