"""Application credentials: whoever is signed in sees their own, and nobody else's."""

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.web.console.blueprint import console
from authserver.web.console.here import here
from authserver.web.console.pages import page


@console.get("")
@console.get("/")
def front() -> ResponseReturnValue:
    """Lead to the credentials."""
    return redirect(url_for("console.credentials"), 303)


@console.get("/credentials")
def credentials() -> ResponseReturnValue:
    """List the credentials of whoever is signed in."""
    at = here()
    return page("credentials/list.html", credentials=at.accounts.credentials(at.signed_in.user.id))
