"""Credentials as the console lists them: ``filters``, ``statuses``, ``rows`` build the statements; ``reads`` runs them.

``expiring_reads``: what expires soon, for notices and metrics. Imports ``rows``, ``tokens`` and ``engine``.
"""
