"""Desired state: what there shall be, as a document; how it differs from what there is; and making it so.

- ``document``: the models, and reading and writing them as YAML or JSON.
- ``steps``: the steps from one state to another; pure.
- ``apply``: takes the steps by the same actions as everybody, all or none, in one transaction.

May import ``actions`` and everything below; called by ``cli`` and ``api``.
"""
