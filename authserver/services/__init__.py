"""Builds the objects of one process; ``app.py`` reads the configuration and passes it. May import every package.

- ``container``: ``Services``, which opens the store once and holds what was built. ``config``: what it is built from.
- ``machine_endpoints``: the table of the endpoints in front of Flask.
- ``periodic_tasks``: what a serving process does by itself.
- ``key_stores``: the master key and where private keys are kept. ``clocks``: the clocks that are handed in elsewhere.
"""
