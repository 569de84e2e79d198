"""The one page that shows a secret, and the page instead of it when its form is sent again (INV-11, INV-23)."""

from http import HTTPStatus
from secrets import token_urlsafe
from typing import Final, Literal
from urllib.parse import urlsplit

from flask.typing import ResponseReturnValue

from authserver.actions.credentials import Revealed
from authserver.console.credentials.snippets import Access, resource_needed, snippets, token_url
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.ports.errors import AlreadyDone
from authserver.rules.facts import Instant

KEY: Final = "form_key"
"""The field that holds a form's key: drawn for one form, good for one secret."""

Act = Literal["create", "regenerate"]


def form_key() -> str:
    """A key for a form that will show a secret."""
    return token_urlsafe(24)


def sent_key(form: Form) -> str:
    """The key of a form that was sent; a form without one is not ours, and gets one that has no effect twice."""
    return form[KEY] or form_key()


def reveal(made: Revealed, act: Act, old_ends_at: Instant | None = None) -> ResponseReturnValue:
    """Show a secret once, in a response that is not cached; and when the previous one ends, if it is live."""
    credential = made.credential
    access = Access(token_url(), credential.client_id, made.secret, credential.name, resource_needed())
    return page(
        "credentials/reveal.html",
        credential=credential,
        access=access,
        act=act,
        old_ends_at=old_ends_at,
        snippets=snippets(access),
        # Asked at our own origin, the only one a page of the console may talk to.
        ask_at=urlsplit(access.token_url).path,
    )


def shown_before(done: AlreadyDone, act: Act) -> ResponseReturnValue:
    """Say that the form had its effect already, and that its secret is gone from sight."""
    return page("credentials/shown_before.html", HTTPStatus.CONFLICT, client_id=done.subject, act=act)
