"""What pages and reports read: lists, searches, previews, time lines, counts. Never on a hot path.

``paging``: cursors and pages. ``credentials``, ``users``, ``audit``, ``tokens``: the lists of each.
``audit_checkpoints``: signed checkpoints, read and written. ``statistics``: counts by the hour. Every method raises
``Unavailable`` where the database cannot be read. ``tests/store/console_reads`` has one test a promise.
"""
