"""What the server can do, one verb a file; verbs do not call each other.

- ``issue_token``: client_credentials -> claims to sign. Asked by clients.
- ``introspect``: token text -> alive or not. Asked by resource servers.
- ``end_token``: revoke a token. Asked by its client, its owner, the operator.
- ``credentials``: create, edit, regenerate, disable, delete. Asked by their owners.
- ``people``: users and roles; every change raises the role version.
- ``watch_sessions``: look at the sessions of a credential, end them. Asked by its owner, the operator.
- ``administer``: resource servers, general settings, and "this database was restored".
"""
