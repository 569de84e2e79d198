"""Users and roles. ``pages``: list, create, disable, assign. ``roles``, ``permissions``: what a role opens.

Each change shows first which tokens end.
"""
