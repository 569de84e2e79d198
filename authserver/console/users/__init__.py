"""Users and roles: list, create, disable, assign and remove roles with a preview of what ends."""
