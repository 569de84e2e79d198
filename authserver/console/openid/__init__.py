"""OpenID Connect: the console as a client of a company's identity provider.

``identity``: the values, without a library, for everybody. ``client``: the requests, by Authlib;
imported only where a provider is configured. Imports nothing else of the console.
"""
