"""``keys``: the key ring and its transitions. ``jwks_fetchers``: who fetched the JWKS, and when."""
