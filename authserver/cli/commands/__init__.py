"""The commands, one module a noun: ``flask <noun> <verb>``. Each parses, calls one action and prints.

``users``, ``roles``, ``resource_servers``, ``credentials``, ``keys``, ``settings``, ``audit``, ``sessions``,
``webhooks``, ``leaks``, ``database`` (``flask db``), ``state`` (``flask apply``, ``flask export``) and ``doctor``;
``client_keys`` has the keys of credentials and of resource servers, ``client_trusts`` and ``certificates`` whose
tokens and which TLS certificates stand for a credential, ``shared_secrets`` who still uses a secret; ``event_streams``
those of resource servers.
"""
