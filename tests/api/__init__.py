"""The management API: operations, authorization, conditions, documents.

- ``test_access``: who may call what, from the table of routes. ``test_requests``: bodies, queries, errors, headers.
"""
