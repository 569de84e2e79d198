"""Who is told what, and where.

- ``webhooks``: create, edit, rotate the secret, disable, enable, delete, test, replay.
- ``chain_watch``: walks the chain of audit records a piece at a time, again and again.
"""
