"""Credentials as the console lists them: ``filters``, ``statuses``, ``rows`` build the statements; ``reads`` runs them.

``expiring_reads``: what expires soon, for notices and metrics. ``shared_secrets``: who still uses one. ``old_secrets``:
what was seen of a secret that works beside its successor.
Imports ``rows``, ``tokens`` and ``engine``.
"""
