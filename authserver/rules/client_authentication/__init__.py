"""How a client proves who it is without a shared secret.

- ``assertion``: what a client's signed assertion must say (RFC 7523 §3).
- ``proof``: what a proof of possession must say (DPoP, RFC 9449 §4.3).
"""
