"""Shared Signals (SSF 1.0): what its streams need of a database.

- ``streams``: EventStream, and the Protocol that keeps streams and reads what is to be told.
"""
