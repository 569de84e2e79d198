"""Reads of the audit trail: ``reads`` lists, filters and exports what ``store.transaction`` wrote."""
