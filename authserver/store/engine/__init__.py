"""The database below the tables: connections, prepared statements, schema, maintenance.

``connections`` opens engines and transactions; ``failures`` names why a database cannot be reached; ``sqlite_library``
chooses the SQLite library and its journal mode; ``pooler`` detects a connection pooler;
``prepared`` runs statements on one connection per thread (``sqlite_prepared``, ``postgres_prepared``);
``statement_observer`` observes each of them; ``batch_statements`` writes many rows in one; ``pending_counts`` buffers
counts in memory;
``schema``, ``migrations`` and ``maintenance`` are for operators;
``rollback_guard`` detects a restored backup (INV-03); ``clock`` reads the database's clock; ``text_search`` builds
conditions for search boxes. Imports no other package of ``store``.
"""
