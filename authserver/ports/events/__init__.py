"""What is told outside, as records and Protocols.

- ``webhooks``: where events are sent, and what became of each delivery.
- ``leaks``: whose leak reports are believed. ``unused``: credentials that nobody uses.
- ``outbox``: collects the events from what is on record, and what is due of them.
"""
