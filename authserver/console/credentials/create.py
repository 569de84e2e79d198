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
    form = Form.initial({**_initial_values(), KEY: form_key()})
    return _form_page(form, review=bool(form["name"]))


@console.post("/credentials/new")
@step_up(RECENT)
def create_credential() -> ResponseReturnValue:
    """Make it and show the secret, or only say what would be: ``step`` is ``review``, ``sentence`` or missing."""
    context, form = console_context(), Form.submitted()
    if form["step"] == SENTENCE:
        return page("credentials/review.html", review=_review(form))
    expires_at = _validated_expiry(form)
    if form["step"] == REVIEW:
        return _form_page(form, review=True, status=form.status())
    if expires_at is None or not form.is_valid:
        return _form_page(form, status=HTTPStatus.BAD_REQUEST)
    try:
        created = verbs.create(
            context.accounts,
            context.signed_in.user.username,
            form["name"],
            expires_at,
            form.getlist("roles"),
            pepper=context.store.pepper,
            form_key=sent_key(form),
            **context.who,
        )
    except AlreadyDone as earlier:
        return shown_before(earlier, "create")
    except Conflict:
        form.add_error("", _limit_text())
    except Invalid as error:
        form.add_error("", error_text(error))
    else:
        return reveal(created, "create")
    return _form_page(form, status=HTTPStatus.BAD_REQUEST)


def _initial_values() -> dict[str, str | list[str]]:
    """What the form begins with: what the query says, as far as it can be, else good defaults."""
    args, own_names = request.args, {role.name for role in console_context().signed_in.user.roles}
    roles = [name for each in args.getlist("roles") for name in each.replace(",", " ").split() if name in own_names]
    operational = _own_roles("operational")
    expires, date = args.get("expires", "").strip(), ""
    if expires not in {str(days) for days in expiry.presets()}:
        expires, date = (expiry.ON_A_DATE, expires) if "-" in expires else (expiry.default_choice(), "")
    return {
        "name": args.get("name", "").strip()[:MAX_DISPLAY_NAME],
        "roles": roles or [role.name for role in operational[:1]],
        "expires": expires,
        "date": date,
    }


def _own_roles(kind: str) -> list[Role]:
    return sorted(
        (role for role in console_context().signed_in.user.roles if role.kind == kind), key=lambda role: role.name
    )


def _validated_expiry(form: Form) -> int | None:
    """The expiry, with a fault beside each field that is wrong."""
    fault = display_name_fault(form["name"])
    if fault:
        form.add_error("name", error_text(Invalid(fault)) if form["name"] else _("Give it a name."))
    expires_at = expiry.chosen_expiry(form)
    held = {role.name: role.kind for role in console_context().signed_in.user.roles}
    not_held = [name for name in form.getlist("roles") if name not in held]
    if not_held:
        form.add_error("roles", _("You do not hold %(roles)s. Choose among your roles.", roles=", ".join(not_held)))
    elif "operational" not in {held[name] for name in form.getlist("roles")}:
        form.add_error("roles", _("Choose at least one operational role."))
    return expires_at


def _review(form: Form) -> dict[str, object]:
    """What the sentence says; ``until`` is empty where the expiry cannot be."""
    expires_at = expiry.chosen_expiry(form)
    kinds = {role.name: role.kind for role in console_context().signed_in.user.roles}
    roles = [name for name in form.getlist("roles") if name in kinds]
    return {
        "name": form["name"],
        "roles": roles,
        "operational": any(kinds[name] == "operational" for name in roles),
        "builder": any(kinds[name] == "builder" for name in roles),
        "until": "" if expires_at is None else exact(expires_at, expiry.zone_of(form)),
        "long": expires_at is not None and expires_at - console_context().now > (expiry.LONG_DAYS + 1) * 86400,
    }


def _form_page(form: Form, *, review: bool = False, status: int = 200) -> ResponseReturnValue:
    tz = expiry.zone_of(form)
    return page(
        "credentials/new.html",
        status,
        form=form,
        review=_review(form.copy()) if review else None,
        operational=_own_roles("operational"),
        builder=_own_roles("builder"),
        presets=expiry.presets(),
        first=expiry.first_day(tz).isoformat(),
        last=expiry.last_day(tz).isoformat(),
        zone=tz.key,
        room=_limit_text() if _limit_reached() else "",
    )


def _limit_reached() -> bool:
    context = console_context()
    used = len([1 for each in context.accounts.credentials(context.signed_in.user.id) if each.expires_at > context.now])
    return used >= context.accounts.general().max_credentials_per_user


def _limit_text() -> str:
    limit = console_context().accounts.general().max_credentials_per_user
    args = ngettext(
        "You have %(num)d live credential, which is the most allowed. Delete one that is not needed first.",
        "You have %(num)d live credentials, which is the most allowed. Delete one that is not needed first.",
        limit,
    )
    return args % {"num": limit}
