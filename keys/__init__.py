r"""Signing keys, the master key and what is sealed under it. Knows nothing of the server.

::

      generate          activate         next activate          tokens ended
    ----------> STAGED ---------> ACTIVE --------------> RETIRED ------------> REMOVED
                   \                |                       /
                    `-----------> COMPROMISED <------------'

- ``keyring``: states, legal transitions, the public JWKS (RFC 7517). ``rotation``: what is due, pure.
- ``material``: makes, seals and unseals private keys; with ``key_stores`` the only code that holds them.
- ``key_stores``: where private parts are kept: database, PEM files, PKCS #11 token.
- ``import_key``: a key made elsewhere. ``master``: the master key and the keys derived from it.
- ``signing``: signs and reads the text of a token; the only module that knows PyJWT.
- ``jws``: takes a JWS of somebody else apart, strictly. ``public_keys``: public keys of clients, and their signatures.
- ``key_sets``: JWK sets that others publish. ``certificates``: TLS certificates of clients, and who may issue them.
- ``detached_signature``: a signature that comes beside what it signs.
- ``strict_json``: JSON that every parser reads alike.
- ``report``: signed reports of drills and compromises. ``watch``: proves a rotation from outside.
"""
