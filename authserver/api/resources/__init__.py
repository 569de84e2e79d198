"""The resources of the API, a module each; importing one registers its operations.

- ``me``: who calls.
- ``credentials``, ``secrets``, ``client_authentication/``, ``restrictions``, ``sessions``: credentials of the caller's
  owner, and their tokens.
- ``users``, ``roles``: users, roles and assignments; ``previews``: what a change would end.
- ``resource_servers``, ``settings``, ``signing_keys``: what the server is run by.
- ``audit``, ``inventory``, ``webhooks``: for the security team. ``state``: all of it as one document.
"""

from authserver.api.resources import (
    audit,
    credentials,
    inventory,
    me,
    previews,
    resource_servers,
    restrictions,
    roles,
    secrets,
    sessions,
    settings,
    signing_keys,
    state,
    users,
    webhooks,
)
from authserver.api.resources.client_authentication import certificates, keys, trusts

MODULES = (
    *(me, credentials, secrets, keys, trusts, certificates, restrictions, sessions, users, roles, previews),
    *(resource_servers, settings, signing_keys, audit, inventory, webhooks, state),
)
"""The modules that have registered their operations, in the order of the document."""
