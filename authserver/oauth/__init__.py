"""The machine endpoints, as bare WSGI in front of Flask; the only package that uses Authlib, with the console's client.

- ``dispatcher``: path -> endpoint, and what holds for every endpoint. ``http``: Request, Response, error_response.
- ``proxies/``, ``throttle``: the caller's address and TLS certificate; failed attempts per address and client.
- ``form``: the strict form. ``client_authentication``: who is calling. ``parsed_requests``: a cache of parsed requests.
- ``token_endpoint`` (RFC 6749 §4.4), ``introspection_endpoint`` (RFC 7662, 9701), ``revocation_endpoint`` (RFC 7009).
- ``authorization_endpoint``: says that no grant uses it.
- ``forward_auth_endpoint``: the same question as introspection, in the form that gateways ask.
- ``usage/``, ``changes_endpoint``: uses that resource servers report, and what ended, for them to know.
- ``leaks_endpoint``: reports of secrets that were found somewhere.
- ``shared_signals/``: security events for resource servers that asked for them.
- ``verified_tokens``: parses the text of a token, hashes it, and verifies it on demand.
- ``metadata``: JWKS, RFC 8414, OpenID discovery. ``jwks_fetchers``: records who fetched the JWKS.
"""
