"""Turns rows of users, roles, credentials, secrets and settings into values.

``accounts``: users, roles, credentials, secrets, resource servers, general settings.
``identities``: links between users and accounts at an OpenID provider.
Imports ``tables``, ``ports`` and ``rules``; opens no transaction.
"""
