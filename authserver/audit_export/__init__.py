"""The audit trail outside this server: exports, what can be checked and rebuilt from them, and what a SIEM reads.

Nothing here knows the database: an export, checkpoints and a JWK set are enough, on any machine. ``vocabulary`` names
every event. ``lines`` writes and reads an export as JSON lines or CSV. ``reference`` writes ``docs/audit-events.md``.
"""
