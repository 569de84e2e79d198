"""Requests that the server itself makes: for public keys of issuers and clients, and to receivers of security events.

- ``safe_fetch``: one GET that cannot be led inside, delayed or flooded by whoever answers.
- ``key_sets``: the keys of issuers and clients, kept for a while, the last good ones for longer.
- ``event_push``: one POST of a security event, held to the same rules.

Nothing here is reached by what a stranger sends: only addresses that the owner of a credential or a resource server
entered are asked, and what those name in turn is held to the same rules.
"""
