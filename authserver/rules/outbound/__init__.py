"""Where this server may send requests of its own.

- ``public_addresses``: whether an address is outside, whichever way it is written.
"""
