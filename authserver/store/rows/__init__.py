"""Turns rows of users, roles, credentials, secrets and settings into values.

``accounts``: users, roles, credentials, secrets, resource servers, general settings.
``idempotency_keys``: requests that had their effect.
``identities``: links between users and accounts at an OpenID provider.
Imports ``tables``, ``ports`` and ``rules``; opens no transaction.
"""
