"""The attack kit: tests somebody's API with bad tokens against a throw-away issuer that it starts itself.

``python -m resource_server.kit --help`` says how; ``docs/resource-servers.md`` how an API is pointed at the issuer.
"""
