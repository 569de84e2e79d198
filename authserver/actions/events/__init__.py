"""Who is told what, and where.

- ``webhooks``: create, edit, rotate the secret, disable, enable, delete, test, replay.
- ``leaks``: ends a secret or token that was reported. ``unused``: disables what nobody used.
- ``old_secrets``: ends the old secret of a credential when it was silent long enough.
- ``mail``: the address that a user is mailed at.
- ``chain_watch``: walks the chain of audit records a piece at a time, again and again.
"""
