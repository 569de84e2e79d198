"""Shared Signals on disk.

- ``event_streams``: who gets security events, and how far each stream is.
"""
