"""What the console reads: one test a promise of ``authserver/ports/console_reads``, on SQLite and PostgreSQL."""
