"""Who is mailed which events, and the target that a delivery to them has."""

from typing import Final

OWNERS, SECURITY = 1, 2
"""Whom a configuration mails, added up; 0: nobody."""

TARGET: Final = "mail:"
SECURITY_TARGET: Final = "mail:security"
OWNER_TYPES: Final = frozenset(
    {
        "credential.expiring",
        "credential.expired",
        "credential.unused",
        "secret.regenerated",
        "secret.new_network",
        "secret.leaked",
        "user.role_reduced",
    }
)
"""What the owner of a credential, or the user, is mailed."""

SECURITY_TYPES: Final = frozenset(
    {"secret.leaked", "secret.new_network", "signing_key.rotated", "signing_key.compromised", "audit.chain_broken"}
)
"""What the security team is mailed."""


def user_target(user_id: str) -> str:
    """The target of mail to one user."""
    return f"{TARGET}user:{user_id}"


def mailed(mail: int, event_type: str, user_id: str, *, has_address: bool) -> list[str]:
    """The targets that an event is mailed to."""
    targets = []
    if mail & OWNERS and event_type in OWNER_TYPES and user_id and has_address:
        targets.append(user_target(user_id))
    if mail & SECURITY and event_type in SECURITY_TYPES:
        targets.append(SECURITY_TARGET)
    return targets
