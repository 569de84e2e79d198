"""Those who sign in."""

from urllib.parse import urlsplit

from sqlalchemy import select

from authserver.store.tables import sign_in_tries
from tests.support.console_browser import builder
from tests.support.shell import Shell

_numbers = iter(range(10_000))


def somebody(site, *permissions, **more):
    """The name of a new user who may enter."""
    return builder(site, f"user{next(_numbers)}", permissions, **more).username


def events(site, name):
    return [each for each in site.accounts.audit_records() if each.event == name]


def kept(site):
    with site.store.engine.connect() as connection:
        return connection.execute(select(sign_in_tries)).all()


def linked(site, name):
    made = Shell(site.app).json("users", "login-link", name)
    parts = urlsplit(made["url"])
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "127.0.0.1:8000", "/console/link")
    return f"{parts.path}?{parts.query}"
