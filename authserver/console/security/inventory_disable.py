"""Security: disable several credentials of any owner at once; a preview shows first what ends."""

from http import HTTPStatus

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions.credentials import MAX_AT_ONCE, disable_many
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.access import JUST_NOW, local_path, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, ngettext
from authserver.ports.console_reads.users import Preview
from authserver.ports.errors import Conflict, NotFound
from authserver.rules import permission
from authserver.rules.names import CLIENT_ID

CHOSEN = "chosen"
"""The field that holds a client id for each credential that is chosen."""


@console.route("/security/credentials/disable", methods=["GET", "POST"])
@requires(permission.SECURITY)
@requires(permission.USERS)
@step_up(JUST_NOW)
def disable_credentials() -> ResponseReturnValue:
    """Show which of the chosen credentials are on and how many tokens die with them, then switch them off together."""
    context, form = console_context(), Form.submitted()
    if not Form.is_submitted():
        form = Form.initial({CHOSEN: request.args.getlist(CHOSEN), "back": request.args.get("back", "")})
    chosen = list(dict.fromkeys(each for each in form.getlist(CHOSEN) if CLIENT_ID.fullmatch(each)))[:MAX_AT_ONCE]
    back = local_path(form["back"], url_for("console.inventory"))
    if not chosen:
        flash(_("Choose at least one credential first."), kind="alert")
        return redirect(back, 303)
    if not Form.is_submitted():
        return _preview(form, chosen, back)
    try:
        disable_many(context.accounts, chosen, **context.who)
    except (Conflict, NotFound):
        form.add_error("", _("Some were disabled or deleted meanwhile. Nothing was changed; look at what is left."))
        return _preview(form, chosen, back, HTTPStatus.CONFLICT)
    done = ngettext("%(num)d credential is disabled.", "%(num)d credentials are disabled.", len(chosen))
    flash(done % {"num": len(chosen)})
    return redirect(back, 303)


def _preview(form: Form, chosen: list[str], back: str, status: int = HTTPStatus.OK) -> ResponseReturnValue:
    context = console_context()
    preview: Preview = context.store.user_reads.preview_disable_credentials(chosen, context.now)
    if not preview.credentials:
        flash(_("All of them are disabled or deleted already."), kind="alert")
        return redirect(back, 303)
    return page(
        "inventory/disable.html",
        status,
        form=form,
        preview=preview,
        left_out=len(chosen) - preview.credentials,
        back=back,
        field=CHOSEN,
    )
