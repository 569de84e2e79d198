"""What a credential proves itself with, other than a secret or a key of its own.

- ``trusts``: whose tokens stand for it. ``key_addresses``: where its client publishes its keys; those that were pasted
  are changed by ``actions/client_keys``. ``certificates``: which TLS certificates stand for it.
"""
