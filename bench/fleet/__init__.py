"""A fleet of verifiers in front of the server, simulated from measured costs: ``python -m bench --fleet``.

- ``costs``: what a request of each kind costs the server, counted on a real one: statements, transactions, bytes.
- ``model``: verifiers, tokens and calls, second by second, from a seed. ``report``: the tables.
"""
