"""Disk: the only room that knows SQL. It answers, it never asks.

- ``tables``: every column, once. ``engine``: how connections are opened, and held.
- ``hot_reads``: the one statement of each hot path. ``activity``: uses, in batches.
- ``session_rows``: the record of each token. ``accounts``: ``change(event)``, the only way to write.
- ``signing_key_rows``: the key ring. ``opening``: migrate, seal, and put it all together.
"""
