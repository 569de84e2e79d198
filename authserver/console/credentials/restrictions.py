"""What a credential of one's own is held to: where from, for which APIs, how long, how many, how often."""

from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import credentials
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.change import own
from authserver.console.frame.access import JUST_NOW, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, error_text
from authserver.ports.errors import Conflict, Invalid
from authserver.rules.client_authentication.restrictions import Restrictions, restrictions, restrictions_of

# What restrictions may be refused for, so that it is translated; see rules/client_authentication/restrictions.
REFUSALS: Final = (
    N_("a network is written as 192.0.2.0/24 or 2001:db8::/32, with no bits set behind the slash"),
    N_("a token of a restricted credential lives for 1 minute to 24 hours"),
    N_("the credential is restricted just so already"),
    N_("a lifetime is a whole number of minutes"),
    N_("sessions and requests are whole numbers"),
    N_("hold a credential to 1 to 1000 live sessions, and 1 to 6000 token requests a minute"),
    N_("say how many sessions may live before the oldest ends"),
)


@console.route("/credentials/<client_id>/restrict", methods=["GET", "POST"])
@step_up(JUST_NOW)
def restrict_credential(client_id: str) -> ResponseReturnValue:
    """Show the restrictions, and replace them; its tokens die."""
    context, row = console_context(), own(client_id)
    try:
        before = restrictions_of(context.accounts.credential(client_id, row.owner_id).restrictions)
    except ValueError:
        # To replace them here would lift what this version does not know.
        flash(_("The restrictions were written by a newer version; change them there."))
        return redirect(url_for("console.credential", client_id=client_id), 303)
    if Form.is_submitted():
        form = Form.submitted()
        try:
            credentials.restrict(context.accounts, client_id, _wanted(form), owner_id=row.owner_id, **context.who)
        except (Conflict, Invalid) as error:
            form.add_error("", error_text(error))
        else:
            flash(_("The restrictions are saved, and its tokens from before are dead."))
            return redirect(url_for("console.credential", client_id=client_id), 303)
    else:
        form = Form.initial(_shown(before))
    apis = {each.audience: each.name for each in context.accounts.resource_servers() if each.disabled_at is None}
    # One that is gone stays in the list: to leave it out in silence would leave no restriction at all.
    apis = {**{each: each for each in before.audiences}, **apis}
    options = [(audience, apis[audience], audience) for audience in sorted(apis)]
    return page("credentials/restrict.html", form.status(HTTPStatus.BAD_REQUEST), row=row, form=form, options=options)


def _shown(found: Restrictions) -> dict[str, str | list[str]]:
    return {
        "networks": "\n".join(map(str, found.networks)),
        "audiences": sorted(found.audiences),
        "minutes": str(found.lifetime // 60) if found.lifetime else "",
        "bound": ["1"] if found.bound else [],
        "sessions": str(found.sessions or ""),
        "end_oldest": ["1"] if found.end_oldest else [],
        "rate": str(found.rate or ""),
    }


def _wanted(form: Form) -> Restrictions:
    """What was typed.

    Raises:
        Invalid: the text says what to write instead.
    """
    minutes = _number(form["minutes"], "a lifetime is a whole number of minutes")
    sessions, rate = (_number(form[name], "sessions and requests are whole numbers") for name in ("sessions", "rate"))
    try:
        return restrictions(
            form["networks"].split(),
            form.getlist("audiences"),
            minutes * 60,
            bound=bool(form["bound"]),
            sessions=sessions,
            end_oldest=bool(form["end_oldest"]),
            rate=rate,
        )
    except ValueError as error:
        raise Invalid(str(error)) from error


def _number(text: str, otherwise: str) -> int:
    """A number as it was typed, 0 where nothing was.

    Raises:
        Invalid: it is none, with the text ``otherwise``.
    """
    if text and (not text.isascii() or not text.isdigit() or len(text) > 4):  # noqa: PLR2004 - no limit has more digits
        raise Invalid(otherwise)
    return int(text or "0")
