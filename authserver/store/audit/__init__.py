"""The audit trail for people: ``reads`` lists, filters and exports what ``store.transaction`` wrote."""
