"""Requests that the server itself makes, for the public keys of issuers and clients that credentials trust.

- ``safe_fetch``: one GET that cannot be led inside, delayed or flooded by whoever answers.
- ``key_sets``: the keys of issuers and clients, kept for a while, the last good ones for longer.

Nothing here is reached by what a stranger sends: only addresses that the owner of a credential entered are asked, and
what those name in turn is held to the same rules.
"""
