"""Reads of the audit trail: by filter, by subject, and the state of the hash chain."""
