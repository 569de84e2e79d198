"""What the server is compared with; each on the same granian, with the same settings, as ``authserver.server`` runs it.

- ``bare``: reads the body and answers a constant. The limit of the WSGI server.
- ``echo``: a Flask route that reads a form and answers JSON.
- ``documented``: Flask, Authlib and the ORM in the shape of Authlib's documentation: opaque tokens, secrets in
  plain text, no idle timeout, no role version.
- ``same_job``: Flask, Authlib and the ORM doing our job: hashed secrets, signed tokens, roles of credential and owner,
  role version, idle timeout, each use written before the answer.
- ``oidc_provider``: node oidc-provider from npm, in memory, where Node is present; not on granian, of course.

``orm`` holds their tables, ``fixtures`` the rows they are asked for.
"""
