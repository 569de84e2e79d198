"""How a client proves who it is without a shared secret.

- ``assertion``: what a client's signed assertion must say (RFC 7523 §3).
- ``proof``: what a proof of possession must say (DPoP, RFC 9449 §4.3). ``nonce``: nonces that it must have (§8, §9).
- ``trust``: which tokens of other issuers stand for a client (workload identity federation).
- ``certificate``: which TLS client certificates stand for a client (mTLS, RFC 8705 §2).
- ``policy``: which ways are allowed, in general and for one resource server.
- ``restrictions``: what a credential is held to beside its roles.
"""
