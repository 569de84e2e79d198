"""Identities at an OpenID provider: a pair of issuer and subject, linked to a user by an operator or by that user.

Nothing is linked automatically: no user name or e-mail address is ever compared (T-113).
"""

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.errors import Invalid
from authserver.ports.users import User
from authserver.rules.facts import Instant
from authserver.rules.names import identity_fault


def link(accounts: Accounts, username: str, issuer: str, subject: str, *, actor: str, now: Instant) -> User:
    """Allow the identity ``subject`` at ``issuer`` to sign in as a user.

    Raises:
        NotFound: no such user.
        Invalid: the issuer is no issuer URL, or the subject is invalid.
        Conflict: the identity is linked already.
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
    """Unlink an identity from a user; ends the user's console sessions that a provider opened.

    Raises:
        NotFound: no such user, or the identity is not linked to that user.
    """
    event = Event("user.identity_unlinked", actor, username, {"issuer": issuer, "subject": subject})
    with accounts.change(event, now) as tx:
        user = tx.user(username)
        tx.unlink_identity(user, issuer, subject)
        tx.detail(user=user.id)
    return user
