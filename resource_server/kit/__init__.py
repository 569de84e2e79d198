"""The attack kit: tests somebody's API with bad tokens against a throw-away issuer that it starts itself.

``python -m resource_server.kit --help`` says how; ``docs/resource-servers.md`` how an API is pointed at the issuer.

- ``run``: sends all cases and makes the ``report``. ``case``: what a case is; ``bad_signatures``, ``bad_claims``: the
  bad tokens; ``lifecycle``: tokens that end.
- ``issuer``: the throw-away issuer, ``server`` its endpoints over HTTP, ``log`` its change feed, ``signing`` its keys.
- ``target``: the API that is tested.
"""
