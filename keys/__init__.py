r"""The strong-room: signing keys, the master key and what is sealed under it. Knows nothing of the server.

::

      generate          activate         next activate          tokens ended
    ----------> STAGED ---------> ACTIVE --------------> RETIRED ------------> REMOVED
                   \                |                       /
                    `-----------> COMPROMISED <------------'

- ``keyring``: states, legal moves, the public JWKS (RFC 7517).
- ``material``: make, seal and unseal private keys; the only file that holds them.
- ``master``: the master key and the keys derived from it.
- ``signing``: sign and read the text of a token; the only file that knows PyJWT.
"""
