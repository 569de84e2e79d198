"""What the store promises, on SQLite and PostgreSQL alike."""
