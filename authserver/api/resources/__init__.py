"""The resources of the API, a module each; importing one registers its operations.

- ``me``: who calls.
"""

from authserver.api.resources import me

MODULES = (me,)
"""The modules that have registered their operations, in the order of the document."""
