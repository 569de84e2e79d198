"""Credentials as the console lists them: filters, statuses, rows, use, and what expires soon."""
