"""The resources of the API, a module each; importing one registers its operations.

- ``me``: who calls.
- ``credentials``, ``secrets``, ``sessions``: application credentials of the caller's owner, and their tokens.
- ``users``, ``roles``: who there is, and who holds which role; ``previews`` tell what a change would end.
"""

from authserver.api.resources import credentials, me, previews, roles, secrets, sessions, users

MODULES = (me, credentials, secrets, sessions, users, roles, previews)
"""The modules that have registered their operations, in the order of the document."""
