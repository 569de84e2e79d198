"""The authorization server for application credentials.

The services stands on a hill; looking down is allowed, looking up is not::

    oauth/   cli   store/      doors: to machines, the shell, the disk
        telemetry              log lines, metrics
        actions/               what the server can do, one verb a file
        console_reads          what pages ask: lists, previews, time lines, as promises
        ports                  what the verbs need, as promises
        audit                  event names and the hash chain
        rules/                 judgement: pure functions of facts and a moment

A token request walks ``oauth/token`` -> ``actions/issue_token`` -> one statement
in ``store/hot_reads`` -> ``rules/role_subset`` -> ``keys/signing``. An
introspection walks ``oauth/introspection`` -> ``actions/introspect`` -> one
statement in ``store/hot_reads`` -> ``rules/liveness``.
"""
