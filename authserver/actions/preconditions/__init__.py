"""What several actions check before they change or tell anything.

- ``administrators``: one must remain. ``token_algorithms``: which algorithm may be chosen.
- ``calling_resource_server``: whether a caller is the resource server it says it is.
"""
