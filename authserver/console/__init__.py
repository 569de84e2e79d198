"""The web console at ``/console``: server-rendered HTML that works without JavaScript.

Rules of the package:

- no page is public unless its view says so; no form changes anything without its CSRF token (``frame/access``);
- a view parses its request once, calls one action, and renders a template of ``templates/console``;
- a change is answered with a redirect, except where a secret is shown once;
- no inline script, no inline style, no third-party resource;
- every text is translatable (``i18n``), every instant is rendered by ``frame/dates``;
- a rejected form is rendered again with the values as typed and an error beside each field (``frame/forms``).

``blueprint`` is Flask's; ``context`` says who asks, and when. ``frame/`` is what all pages share;
``i18n/`` the languages; ``openid/`` the client of a company's identity provider. Each other package is one part:
``credentials/``, ``users/``, ``settings/``, ``resource_servers/``, ``security/``,
``sign_in/``, and the single pages ``profile`` and ``help``. Templates, scripts and
translations of a page have the page's name. May import ``actions``, ``ports``,
``rules``, ``telemetry`` and ``keys``; never ``store``, ``oauth``, ``cli`` or ``web``.
"""

from flask import Flask

# Importing a page module registers its routes on the blueprint.
from authserver.console import help as help_page
from authserver.console import profile
from authserver.console.blueprint import console
from authserver.console.credentials import (
    certificates,
    change,
    client_keys,
    client_trusts,
    create,
    detail,
    explain,
    listing,
    postman,
    restrictions,
)
from authserver.console.frame import access_log, appearance, assets
from authserver.console.frame.access import SignInPages
from authserver.console.frame.layout import error_response, install_template_globals, is_console_path
from authserver.console.resource_servers import pages as resource_server_pages
from authserver.console.security import audit, inventory, inventory_disable, overview, signing_keys, webhooks
from authserver.console.settings import pages as settings_pages
from authserver.console.sign_in import pages as sign_in_pages
from authserver.console.sign_in import single_sign_on
from authserver.console.users import pages as user_pages
from authserver.console.users import permissions, roles

PAGES = (
    appearance,
    assets,
    audit,
    certificates,
    change,
    client_keys,
    client_trusts,
    create,
    detail,
    explain,
    help_page,
    inventory,
    inventory_disable,
    listing,
    overview,
    permissions,
    postman,
    profile,
    resource_server_pages,
    restrictions,
    roles,
    settings_pages,
    sign_in_pages,
    signing_keys,
    single_sign_on,
    user_pages,
    webhooks,
)
"""The modules that have registered their routes."""


def install(app: Flask) -> None:
    """Register the console on ``app``."""
    install_template_globals(app)
    app.extensions["console_sign_in_pages"] = SignInPages(
        sign_in_pages.show_sign_in, sign_in_pages.show_reauthentication
    )
    access_log.log_requests(app)
    app.jinja_env.globals.update(
        identity_provider=single_sign_on.identity_provider,
        reauthentication_methods=single_sign_on.reauthentication_methods,
        permission_names=permissions.permission_names,
    )
    app.register_blueprint(console)


__all__ = ["PAGES", "error_response", "install", "is_console_path"]
