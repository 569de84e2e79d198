"""Change a credential of one's own: edit, a new secret, off and on, delete."""

import re
from http import HTTPStatus
from typing import Final

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import credentials as credential_actions
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials import expiry
from authserver.console.credentials.reveal import KEY, form_key, reveal, sent_key, shown_before
from authserver.console.frame.access import JUST_NOW, local_path, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text
from authserver.ports.console_reads.credentials import CredentialRow
from authserver.ports.errors import AlreadyDone, Conflict, Invalid
from authserver.rules.facts import Instant, Span
from authserver.rules.lifetime import DAY
from authserver.rules.names import MAX_DISPLAY_NAME, display_name_fault
from authserver.rules.secret_format import OVERLAPS

RECENT_USE: Span = 30 * DAY
"""Whoever deletes what was used within this span types its name first (EXPERIENCE §3.4)."""

KEEP: Final = "keep"
_INSTANT: Final = re.compile(r"[0-9]{1,12}")


def own(client_id: str) -> CredentialRow:
    """A credential of the signed-in user; ``NotFound`` for a foreign one as for an unknown one (INV-09)."""
    context = console_context()
    return context.store.credential_reads.row(client_id, context.now, owner_id=context.signed_in.user.id)


@console.get("/credentials/<client_id>/edit")
def edit_credential(client_id: str) -> ResponseReturnValue:
    """Show name and expiry."""
    row = own(client_id)
    return _edit_page(row, Form.initial({"name": row.name, "expires": KEEP, "date": "", **_shown_values(row)}))


@console.post("/credentials/<client_id>/edit")
def do_edit_credential(client_id: str) -> ResponseReturnValue:
    """Change name and expiry, unless somebody else did so since the form was shown."""
    context, row, form = console_context(), own(client_id), Form.submitted()
    fault = display_name_fault(form["name"])
    if fault:
        form.add_error("name", error_text(Invalid(fault)) if form["name"] else _("Give it a name."))
    values_seen = _read_initial_values(form, row)
    expires_at = values_seen[1] if form["expires"] == KEEP else expiry.chosen_expiry(form)
    if not form.is_valid or expires_at is None:
        return _edit_page(row, form, HTTPStatus.BAD_REQUEST)
    try:
        if (form["name"], expires_at) == values_seen == (row.name, row.expires_at):
            flash(_("Nothing was changed."))
        else:
            credential_actions.edit(
                context.accounts,
                client_id,
                name=form["name"],
                expires_at=expires_at,
                owner_id=row.owner_id,
                seen=values_seen,
                **context.who,
            )
            flash(_("Saved."))
    except credential_actions.Changed as changed:
        return _conflict(changed, form, values_seen, None if form["expires"] == KEEP else expires_at)
    except Conflict:
        form.add_error(
            "expires", _("You have as many live credentials as are allowed. Delete one that is not needed first.")
        )
        return _edit_page(row, form, HTTPStatus.BAD_REQUEST)
    except Invalid as error:
        form.add_error("expires", error_text(error))
        return _edit_page(row, form, HTTPStatus.BAD_REQUEST)
    return redirect(url_for("console.credential", client_id=client_id), 303)


@console.get("/credentials/<client_id>/regenerate")
@step_up(JUST_NOW)
def regenerate(client_id: str) -> ResponseReturnValue:
    """Ask when the old secret shall end."""
    return _regenerate_page(own(client_id), Form.initial({"overlap": "0", KEY: form_key()}))


@console.post("/credentials/<client_id>/regenerate")
@step_up(JUST_NOW)
def do_regenerate(client_id: str) -> ResponseReturnValue:
    """Make a new secret and show it."""
    context, row, form = console_context(), own(client_id), Form.submitted()
    if form["overlap"] not in {str(each) for each in OVERLAPS}:
        form.add_error("overlap", _("Choose when the old secret ends."))
        return _regenerate_page(row, form, HTTPStatus.BAD_REQUEST)
    try:
        created = credential_actions.regenerate(
            context.accounts,
            client_id,
            int(form["overlap"]),
            pepper=context.store.pepper,
            owner_id=row.owner_id,
            form_key=sent_key(form),
            **context.who,
        )
    except AlreadyDone as earlier:
        return shown_before(earlier, "regenerate")
    except Invalid as error:
        form.add_error("", error_text(error))
        return _regenerate_page(row, form, HTTPStatus.BAD_REQUEST)
    overlap = int(form["overlap"])
    return reveal(created, "regenerate", old_ends_at=context.now + overlap if overlap else None)


@console.route("/credentials/<client_id>/old-secret", methods=["GET", "POST"])
@step_up(JUST_NOW)
def old_secret(client_id: str) -> ResponseReturnValue:
    """Show and process the form that changes when the old secret ends."""
    context, row = console_context(), own(client_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"overlap": "0"})
    if row.rotation_ends_at is None:
        flash(_("No old secret works any more."))
        return redirect(url_for("console.credential", client_id=client_id), 303)
    if Form.is_submitted() and form["overlap"] in {str(each) for each in OVERLAPS}:
        try:
            credential_actions.move_old_secret(
                context.accounts, client_id, int(form["overlap"]), owner_id=row.owner_id, **context.who
            )
            flash(_("The old secret ends when you chose.") if int(form["overlap"]) else _("The old secret has ended."))
        except Conflict:
            flash(_("No old secret works any more."))
        return redirect(url_for("console.credential", client_id=client_id), 303)
    if Form.is_submitted():
        form.add_error("overlap", _("Choose when the old secret ends."))
    return page("credentials/old_secret.html", form.status(), row=row, form=form, overlaps=_overlaps())


@console.post("/credentials/<client_id>/disable")
def disable_credential(client_id: str) -> ResponseReturnValue:
    """Switch it off; one click takes it back."""
    context, row = console_context(), own(client_id)
    try:
        credential_actions.disable(context.accounts, client_id, owner_id=row.owner_id, **context.who)
    except Conflict:
        flash(_("‘%(name)s’ is disabled already.", name=row.name))
    else:
        undo = (url_for("console.enable_credential", client_id=client_id, back=_return_url(client_id)), _("Undo"))
        flash(_("‘%(name)s’ is disabled. Its tokens are dead, and it gets no new ones.", name=row.name), undo=undo)
    return redirect(_return_url(client_id), 303)


@console.post("/credentials/<client_id>/enable")
def enable_credential(client_id: str) -> ResponseReturnValue:
    """Switch it on again."""
    context, row = console_context(), own(client_id)
    try:
        credential_actions.enable(context.accounts, client_id, owner_id=row.owner_id, **context.who)
    except Conflict:
        flash(_("‘%(name)s’ is enabled already.", name=row.name))
    else:
        undo = (url_for("console.disable_credential", client_id=client_id, back=_return_url(client_id)), _("Undo"))
        flash(_("‘%(name)s’ is enabled. Tokens from before stay dead; it can get new ones.", name=row.name), undo=undo)
    return redirect(_return_url(client_id), 303)


@console.get("/credentials/<client_id>/delete")
@step_up(JUST_NOW)
def delete_credential(client_id: str) -> ResponseReturnValue:
    """Ask before it is gone for good."""
    return _delete_page(own(client_id), Form.initial({"name": ""}))


@console.post("/credentials/<client_id>/delete")
@step_up(JUST_NOW)
def do_delete_credential(client_id: str) -> ResponseReturnValue:
    """Delete it; where it was used lately, only with its name typed."""
    context, row, form = console_context(), own(client_id), Form.submitted()
    if _used_recently(row) and form["name"] != row.name.strip():
        form.add_error("name", _("That is not its name. Type ‘%(name)s’ to delete it.", name=row.name))
        return _delete_page(row, form, HTTPStatus.BAD_REQUEST)
    credential_actions.delete(context.accounts, client_id, owner_id=row.owner_id, **context.who)
    flash(_("‘%(name)s’ is deleted.", name=row.name))
    return redirect(url_for("console.credentials"), 303)


def _return_url(client_id: str) -> str:
    return local_path(request.values.get("back", ""), url_for("console.credential", client_id=client_id))


def _used_recently(row: CredentialRow) -> bool:
    return row.last_used_at is not None and console_context().now - row.last_used_at < RECENT_USE


def _shown_values(row: CredentialRow) -> dict[str, str]:
    """The values shown in the form, to find out whether they have changed meanwhile."""
    return {"seen_name": row.name, "seen_expires": str(row.expires_at)}


def _read_initial_values(form: Form, row: CredentialRow) -> tuple[str, Instant]:
    """The same as the form brings it back; a form without it was not opened here, and saw what is there now."""
    name, expires = form.raw("seen_name"), form["seen_expires"]
    return (name, int(expires)) if name and _INSTANT.fullmatch(expires) else (row.name, row.expires_at)


def _edit_page(row: CredentialRow, form: Form, status: int = 200) -> ResponseReturnValue:
    tz = expiry.zone_of(form)
    return page(
        "credentials/edit.html",
        status,
        row=row,
        form=form,
        presets=expiry.presets(),
        first=expiry.first_day(tz).isoformat(),
        last=expiry.last_day(tz).isoformat(),
        zone=tz.key,
        longest=MAX_DISPLAY_NAME,
    )


def _conflict(
    changed: credential_actions.Changed, form: Form, values_seen: tuple[str, Instant], expires_at: Instant | None
) -> ResponseReturnValue:
    """Show what was there, what is there now, and what the sender wants changed; the rest stays as it is now."""
    current = changed.current
    name = current.name if form["name"] == values_seen[0] else form["name"]
    return page(
        "credentials/conflict.html",
        HTTPStatus.CONFLICT,
        client_id=current.client_id,
        form=form,
        values_seen=values_seen,
        current=(current.name, current.expires_at),
        submitted=(name, current.expires_at if expires_at is None else expires_at),
    )


def _regenerate_page(row: CredentialRow, form: Form, status: int = 200) -> ResponseReturnValue:
    return page("credentials/regenerate.html", status, row=row, form=form, overlaps=_overlaps())


def _overlaps() -> list[tuple[Span, Instant]]:
    return [(each, console_context().now + each) for each in OVERLAPS]


def _delete_page(row: CredentialRow, form: Form, status: int = 200) -> ResponseReturnValue:
    context = console_context()
    live = context.store.credential_reads.live_tokens(row.client_id, context.now)
    return page("credentials/delete.html", status, row=row, form=form, live=live, typed=_used_recently(row))
