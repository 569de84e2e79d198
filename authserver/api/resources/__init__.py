"""The resources of the API, a module each; importing one registers its operations.

- ``me``: who calls.
- ``credentials``, ``secrets``, ``sessions``: application credentials of the caller's owner, and their tokens.
"""

from authserver.api.resources import credentials, me, secrets, sessions

MODULES = (me, credentials, secrets, sessions)
"""The modules that have registered their operations, in the order of the document."""
