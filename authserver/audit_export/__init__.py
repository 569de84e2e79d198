"""The audit trail outside this server: exports, what can be checked and rebuilt from them, and what a SIEM reads.

- ``vocabulary``: every event. ``reference``: writes ``docs/audit-events.md``.
- ``lines``: an export as JSON lines or CSV, written and read back.
- ``checkpoints``: signed, at least hourly; the one module here that needs the store.
- ``offline``: an export verified by checkpoints and a JWK set. ``holdings``: who held what, from an export alone.
- ``siem``: OCSF, CEF and the message of syslog. ``syslog_sink``: sends it.
"""
