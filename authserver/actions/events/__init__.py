"""Who is told what, and where.

- ``webhooks``: create, edit, rotate the secret, disable, enable, delete, test, replay.
- ``leaks``: ends a secret that was reported. ``unused``: disables what nobody used.
- ``mail``: the address that a user is mailed at.
- ``chain_watch``: walks the chain of audit records a piece at a time, again and again.
"""
