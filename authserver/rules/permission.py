"""Who may enter the console, and what a role's permissions open there.

A builder role opens the console; each permission opens one part of it. A role
may carry words that no part asks for: they open nothing.
"""

from collections.abc import Iterable
from typing import Final

USERS: Final = "users:manage"
SETTINGS: Final = "settings:manage"
RESOURCE_SERVERS: Final = "resource-servers:manage"
SECURITY: Final = "security:view"
KEYS: Final = "keys:manage"

PERMISSIONS: Final = (USERS, SETTINGS, RESOURCE_SERVERS, SECURITY, KEYS)
"""Every permission that some part of the console asks for."""


def may_enter(kinds: Iterable[str]) -> bool:
    """Whether roles of these kinds open the console."""
    return "builder" in kinds
