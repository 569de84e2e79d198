"""Your own profile."""

from flask.typing import ResponseReturnValue

from authserver.web.console.blueprint import console
from authserver.web.console.here import here
from authserver.web.console.pages import page


@console.get("/profile")
def profile() -> ResponseReturnValue:
    """Show who is signed in."""
    at = here()
    sessions = at.store.sign_ins.of_user(at.signed_in.user.id)
    return page("profile.html", sessions=sessions)
