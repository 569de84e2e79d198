"""What several actions check before they change or return anything.

- ``administrators``: one must remain. ``token_algorithms``: which algorithm may be chosen.
- ``calling_resource_server``: authenticates a resource server.
"""
