"""What actions, endpoints and pages need of a database, as Protocols and records, cut by subject.

Each method states its promise in one line; ``tests/store/`` has one test a promise and runs it on every backend.
Imports ``audit``, ``rules`` and ``keys`` only.

- ``errors``: Refusal and its kinds, Unavailable. ``clock``: seconds of UTC.
- ``accounts``: reads, and ``change(event)``, which opens a ``transaction``: the only way to write what is audited.
- ``users``, ``credentials``, ``resource_servers``, ``general_settings``, ``sign_in``: records of each.
- ``hot_path``: the facts of a token request and of an introspection. ``usage``: issued and used tokens, buffered.
- ``client_authentication``: ids that are good once, on all nodes together; the public keys of others.
- ``sessions``: the record of each token, and how many a credential may have. ``changes``: what ended, in order.
- ``signing_keys``, ``jwks_fetchers``: the key ring and who fetched it.
- ``events``: webhooks, their deliveries, and the outbox.
- ``shared_signals``: streams of security events.
- ``store``: all of these together, as commands and pages use them.
- ``console_reads``: lists, searches and previews for people.
"""
