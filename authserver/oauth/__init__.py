"""Machine doors: the only room that knows Authlib.

``request``: the strict form. ``client_auth``: who is calling. ``token``,
``introspection``, ``metadata``: the doors. ``mount``: path -> door, as WSGI.
"""
