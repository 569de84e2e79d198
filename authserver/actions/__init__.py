"""What the server can do, one use case a module. Actions do not call each other.

Each reads its facts in one statement, asks ``rules``, writes in one audited transaction, and then returns. Imports
``ports``, ``audit``, ``rules`` and ``keys``; no Flask, no SQL.

- ``issue_token``: client_credentials -> claims to sign. Called for clients.
- ``introspect``: token -> active or not. Called for resource servers.
- ``report_usage``: counts the uses that a resource server judged without asking. ``change_feed``: what ended.
- ``shared_signals``: streams of security events. Called for resource servers.
- ``revoke_token``: ends a token. Called for its client, its owner, the operator.
- ``sessions``: lists, explains and ends the sessions of a credential.
- ``credentials``: create, edit, regenerate, disable, delete. ``client_keys``: its public
  keys. ``client_authentication``: whose tokens stand for it.
- ``users``, ``roles``: every change of a user's roles raises the role version.
- ``resource_servers``, ``general_settings``. ``preconditions``: what several actions check first.
- ``signing_keys``: generate, announce, activate, retire, compromise, import, reseal, rehearse.
- ``sign_in``, ``identities``: console sessions, passwords, login links; links to an OpenID provider.
- ``events``: webhooks; who is told what, and where.
- ``restore``: declares the database restored from a backup.
- ``security_log``: copies the first refusal of each kind per minute into the audit trail.
"""
