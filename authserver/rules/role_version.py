"""The role-version rule, and the same for the credential version and the epoch.

A token carries the version of everything that was true when it was issued. Any
change of its owner's roles raises the role version, disabling a credential
raises the credential version, restoring an old database raises the epoch. None
ever goes back (INV-03), so "equal" is the whole rule.
"""

from authserver.rules.facts import Instant, Reason, Standing, Token


def roles_changed(token: Token, _now: Instant, standing: Standing) -> Reason | None:
    """Dead once any role of the owner was assigned or removed (INV-01)."""
    if token.role_version != standing.role_version:
        return Reason.ROLES_CHANGED
    return None


def credential_was_switched(token: Token, _now: Instant, standing: Standing) -> Reason | None:
    """Dead once its credential was disabled, even if enabled again since (INV-05)."""
    if token.credential_version != standing.credential_version:
        return Reason.CREDENTIAL_DISABLED
    return None


def restored(token: Token, _now: Instant, standing: Standing) -> Reason | None:
    """Dead once the database was restored from the past (INV-03)."""
    if token.epoch != standing.epoch:
        return Reason.EPOCH
    return None
