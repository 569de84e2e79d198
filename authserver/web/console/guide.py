"""Help: always the last thing in the header, for everybody."""

from flask import abort
from flask.typing import ResponseReturnValue

from authserver.web.console.admission import public
from authserver.web.console.blueprint import console
from authserver.web.console.pages import page


@console.get("/help")
@public
def help_page() -> ResponseReturnValue:
    """What this is, in a minute."""
    return page("help.html")


@console.route("/<path:rest>", methods=["GET", "POST"])
def nothing(rest: str) -> ResponseReturnValue:
    """Ask for a sign-in before telling that there is nothing: strangers cannot tell addresses apart."""
    del rest
    abort(404)
