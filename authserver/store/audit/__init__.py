"""The audit trail, which ``store.transaction`` writes.

``reads`` lists, filters and exports it; ``checkpoints`` keeps its signed checkpoints.
"""
