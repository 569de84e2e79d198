"""What each permission opens, in words."""

from collections.abc import Iterable
from typing import Final

from authserver.console.i18n.messages import N_, gettext
from authserver.rules import permission

PERMISSION_TEXTS: Final = {
    permission.USERS: (N_("Users and roles"), N_("Create people, assign roles, make roles")),
    permission.SETTINGS: (N_("Settings"), N_("Change the general settings")),
    permission.RESOURCE_SERVERS: (N_("Resource servers"), N_("Register APIs and renew their secrets")),
    permission.SECURITY: (N_("Security, reading"), N_("See keys, all credentials and the audit trail")),
    permission.KEYS: (N_("Signing keys"), N_("Rotate and retire keys; goes with Security, reading")),
}
"""A name and a hint for every permission that some part of the console asks for."""


def permission_names(permissions: Iterable[str]) -> list[str]:
    """The parts of the console that permissions open, in words; what no part asks for stands for itself."""
    return [gettext(PERMISSION_TEXTS[each][0]) if each in PERMISSION_TEXTS else each for each in permissions]
