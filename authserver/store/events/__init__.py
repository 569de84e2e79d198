"""Events that are told outside: the outbox, webhooks, and what became of each delivery.

- ``webhooks``: rows of webhooks and deliveries, for changes and for lists.
- ``outbox``: collects events from the audit records behind a cursor, and hands out what is due.
- ``raising``: writes events with their deliveries; ``expiries`` raises what follows from time alone.
- ``leaks``: whose leak reports are believed. ``unused``: credentials that nobody uses.
- ``networks``: from which networks a secret was used.
"""
