"""The web console at ``/console``: server-rendered, works without JavaScript, which only improves it.

Laws of the room:

- nothing is public unless its view says so; nothing changes without its form's own token (``admission``);
- a page is a view that parses once, calls one verb, and renders a template of ``templates/console``;
- after a change comes a redirect, except where a secret is shown, once;
- no inline script and no inline style, nothing from anybody else's server;
- every text stands in the catalogues (``words``), every instant is shown by ``moments``;
- nothing typed is lost: forms come back as they were, with what is wrong beside each field (``forms``).

One file a part of the console; ``here`` says what a page stands on, ``pages`` makes the frame.
"""

from flask import Flask

from authserver.web.console import (  # noqa: F401 - each hangs its own pages on the blueprint
    appearance,
    assets,
    audit,
    credentials,
    credentials_change,
    credentials_create,
    credentials_detail,
    credentials_guide,
    guide,
    inventory,
    inventory_disable,
    journal,
    keys,
    people,
    permissions,
    profile,
    resource_servers,
    roles,
    settings,
    signing_in,
    single_sign_on,
)
from authserver.web.console.blueprint import console
from authserver.web.console.pages import furnish, is_ours, refused


def install(app: Flask) -> None:
    """Hang the console on ``app``."""
    furnish(app)
    journal.furnish(app)
    app.jinja_env.globals.update(
        elsewhere=single_sign_on.elsewhere, proofs=single_sign_on.proofs, opens=permissions.opens
    )
    app.register_blueprint(console)


__all__ = ["install", "is_ours", "refused"]
