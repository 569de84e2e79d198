"""The authorization server for application credentials.

A package imports only from the lines below its own; ``pyproject.toml`` has the contracts, ``docs/architecture.md`` the
path of a request::

    config                                      AUTHSERVER_* from the environment; read by app.py only
    services   server   demo                    the objects of one process; the WSGI server; demo data
    background                                  periodic tasks of a serving process
    instrumentation                             one log line and the metrics for each response
    signing_service                             signs and reads tokens with the keys of the database
    oauth/ api/ console/ web/ cli/ store/       machine endpoints, management API, pages, health, commands, database
    outbound/                                   requests of our own, beside them
    telemetry/                                  log lines and metrics
    http_client                                 one request to an address that somebody else chose
    desired_state/                              a state as a document, the steps to it, and making it so
    delivery/                                   events told outside: webhooks
    audit_export/                               the audit trail outside this server: exports, proofs, a SIEM
    actions/                                    what the server can do, one use case a module
    ports/                                      what actions need of a database, as Protocols and records
    audit                                       event names and the hash chain
    rules/                                      pure functions of facts and an instant
"""
