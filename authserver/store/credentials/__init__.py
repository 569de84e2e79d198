"""Credentials as the console lists them: ``filters``, ``statuses``, ``rows`` build the statements; ``reads`` runs them.

``expiring_reads``: what expires soon, for notices and metrics. ``shared_secrets``: who still uses one.
Imports ``rows``, ``tokens`` and ``engine``.
"""
