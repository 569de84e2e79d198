"""What the client of a credential authenticates with, other than a secret.

- ``keys``: public keys of its own. ``trusts``: tokens of other issuers. ``certificates``: TLS certificates.
"""
