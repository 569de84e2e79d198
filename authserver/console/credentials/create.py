"""Make a credential: a form with good defaults, a sentence that says what will be, and the secret once."""

from http import HTTPStatus
from typing import Final

from flask import request
from flask.typing import ResponseReturnValue

from authserver.actions import credentials as verbs
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials import expiry
from authserver.console.credentials.reveal import KEY, form_key, reveal, sent_key, shown_before
from authserver.console.frame.access import RECENT, step_up
from authserver.console.frame.dates import exact
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text, ngettext
from authserver.ports.errors import AlreadyDone, Conflict, Invalid
from authserver.ports.users import Role
from authserver.rules.names import MAX_DISPLAY_NAME, display_name_fault

REVIEW: Final = "review"
SENTENCE: Final = "sentence"


@console.get("/credentials/new")
@step_up(RECENT)
def new_credential() -> ResponseReturnValue:
    """Show the form; the query may fill it in (``name``, ``roles``, ``expires``), and sends nothing."""
    form = Form.blank({**_begun(), KEY: form_key()})
    return _shown(form, review=bool(form["name"]))


@console.post("/credentials/new")
@step_up(RECENT)
def create_credential() -> ResponseReturnValue:
    """Make it and show the secret, or only say what would be: ``step`` is ``review``, ``sentence`` or missing."""
    at, form = console_context(), Form.sent()
    if form["step"] == SENTENCE:
        return page("credentials/review.html", review=_review(form))
    expires_at = _checked(form)
    if form["step"] == REVIEW:
        return _shown(form, review=True, status=form.status())
    if expires_at is None or not form.good:
        return _shown(form, status=HTTPStatus.BAD_REQUEST)
    try:
        made = verbs.create(
            at.accounts,
            at.signed_in.user.username,
            form["name"],
            expires_at,
            form.all("roles"),
            pepper=at.store.pepper,
            form_key=sent_key(form),
            **at.who,
        )
    except AlreadyDone as done:
        return shown_before(done, "create")
    except Conflict:
        form.fault("", _limit())
    except Invalid as error:
        form.fault("", error_text(error))
    else:
        return reveal(made, "create")
    return _shown(form, status=HTTPStatus.BAD_REQUEST)


def _begun() -> dict[str, str | list[str]]:
    """What the form begins with: what the query says, as far as it can be, else good defaults."""
    said, mine = request.args, {role.name for role in console_context().signed_in.user.roles}
    roles = [name for each in said.getlist("roles") for name in each.replace(",", " ").split() if name in mine]
    operational = _mine("operational")
    expires, date = said.get("expires", "").strip(), ""
    if expires not in {str(days) for days in expiry.presets()}:
        expires, date = (expiry.ON_A_DATE, expires) if "-" in expires else (expiry.usual(), "")
    return {
        "name": said.get("name", "").strip()[:MAX_DISPLAY_NAME],
        "roles": roles or [role.name for role in operational[:1]],
        "expires": expires,
        "date": date,
    }


def _mine(kind: str) -> list[Role]:
    return sorted(
        (role for role in console_context().signed_in.user.roles if role.kind == kind), key=lambda role: role.name
    )


def _checked(form: Form) -> int | None:
    """The expiry, with a fault beside each field that is wrong."""
    fault = display_name_fault(form["name"])
    if fault:
        form.fault("name", error_text(Invalid(fault)) if form["name"] else _("Give it a name."))
    expires_at = expiry.chosen(form)
    held = {role.name: role.kind for role in console_context().signed_in.user.roles}
    strange = [name for name in form.all("roles") if name not in held]
    if strange:
        form.fault("roles", _("You do not hold %(roles)s. Choose among your roles.", roles=", ".join(strange)))
    elif "operational" not in {held[name] for name in form.all("roles")}:
        form.fault("roles", _("Choose at least one operational role."))
    return expires_at


def _review(form: Form) -> dict[str, object]:
    """What the sentence says; ``until`` is empty where the expiry cannot be."""
    expires_at = expiry.chosen(form)
    kinds = {role.name: role.kind for role in console_context().signed_in.user.roles}
    roles = [name for name in form.all("roles") if name in kinds]
    return {
        "name": form["name"],
        "roles": roles,
        "operational": any(kinds[name] == "operational" for name in roles),
        "builder": any(kinds[name] == "builder" for name in roles),
        "until": "" if expires_at is None else exact(expires_at, expiry.zone_of(form)),
        "long": expires_at is not None and expires_at - console_context().now > (expiry.LONG + 1) * 86400,
    }


def _shown(form: Form, *, review: bool = False, status: int = 200) -> ResponseReturnValue:
    where = expiry.zone_of(form)
    return page(
        "credentials/new.html",
        status,
        form=form,
        review=_review(form.copy()) if review else None,
        operational=_mine("operational"),
        builder=_mine("builder"),
        presets=expiry.presets(),
        first=expiry.first_day(where).isoformat(),
        last=expiry.last_day(where).isoformat(),
        zone=where.key,
        room=_limit() if _full() else "",
    )


def _full() -> bool:
    at = console_context()
    used = len([1 for each in at.accounts.credentials(at.signed_in.user.id) if each.expires_at > at.now])
    return used >= at.accounts.general().max_credentials_per_user


def _limit() -> str:
    most = console_context().accounts.general().max_credentials_per_user
    said = ngettext(
        "You have %(num)d live credential, which is the most allowed. Delete one that is not needed first.",
        "You have %(num)d live credentials, which is the most allowed. Delete one that is not needed first.",
        most,
    )
    return said % {"num": most}
