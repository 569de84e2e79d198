"""The database: the only package that knows SQL. It calls no actions and no endpoints.

- ``tables``: every table and column, once. ``engine``: connections, prepared statements, migrations, maintenance.
- ``rows``: rows to values. ``transaction``: the writes of one audited change. ``accounts``: opens such a change.
- ``statistics``: counts by the hour, for charts.
- ``user_reads``: the console's lists of users and roles, with previews of what a change ends.
- ``credentials``, ``audit``: what the console lists of each. ``sign_in``: console sessions and login attempts.
- ``events``: the outbox, webhooks and their deliveries.
- ``tokens``: the statements of the hot paths, the buffer of uses, session rows, revocations.
- ``shared_signals``: streams of security events.
- ``signing_keys``: the key ring and who fetched it. ``factory``: migrates, opens and seals a store.
"""
