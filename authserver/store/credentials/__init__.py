"""Credentials as the console lists them: ``filters``, ``statuses``, ``rows`` make the statements; ``reads`` runs them.

``expiring_reads``: what ends soon, for notices and metrics. Imports ``rows``, ``tokens`` and ``engine``.
"""
