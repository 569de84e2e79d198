"""Help: always the last thing in the header, for everybody."""

from typing import Final

from flask import abort
from flask.typing import ResponseReturnValue

from authserver.console.blueprint import console
from authserver.console.credentials.listing import STATES
from authserver.console.frame.access import public
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_
from authserver.rules.credential_status import Status

MEANINGS: Final = {
    Status.ACTIVE: N_("It gets tokens when it asks."),
    Status.EXPIRING: N_("It ends within 14 days. Extend it, or let it go."),
    Status.EXPIRED: N_("Its last day is over. It gets no tokens until you extend it."),
    Status.DISABLED: N_("It is switched off. It gets no tokens until you enable it."),
    Status.ROTATING: N_("It has a new secret, and the old one still works for a while."),
    Status.REDUCED: N_("A role it was made with was removed from you. Its tokens come without."),
}
"""What each status says to the owner."""


@console.get("/help")
@public
def help_page() -> ResponseReturnValue:
    """What this is, in a minute."""
    return page("help.html", states=[(STATES[status], meaning) for status, meaning in MEANINGS.items()])


@console.route("/<path:rest>", methods=["GET", "POST"])
def nothing(rest: str) -> ResponseReturnValue:
    """Require a sign-in before the 404, so that anonymous requests cannot find out which URLs exist."""
    del rest
    abort(404)
