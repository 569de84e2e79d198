"""Roles: permissions and holders; create one; preview and delete one."""

from http import HTTPStatus

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import roles as role_actions
from authserver.actions.preconditions import administrators
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.access import JUST_NOW, RECENT, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text
from authserver.console.users.permissions import PERMISSION_TEXTS
from authserver.ports.console_reads.users import RoleRow
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules import permission
from authserver.rules.names import KINDS, role_name_fault
from authserver.rules.permission import PERMISSIONS


@console.get("/users/roles")
@requires(permission.USERS)
def roles() -> ResponseReturnValue:
    """List roles by name."""
    return page("roles/list.html", rows=console_context().store.user_reads.role_rows())


@console.route("/users/roles/new", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(RECENT)
def new_role() -> ResponseReturnValue:
    """Make a role."""
    context = console_context()
    if not Form.is_submitted():
        return page(
            "roles/new.html", form=Form.initial({"name": "", "kind": KINDS[0]}), permission_texts=PERMISSION_TEXTS
        )
    form = Form.submitted()
    chosen = form.getlist("permissions")
    if role_name_fault(form["name"]):
        form.add_error("name", _("Use 1 to 64 of A-Z a-z 0-9 . _ : / - and begin with a letter or digit."))
    if form["kind"] not in KINDS:
        form.add_error("kind", _("Choose one of the two kinds."))
    if not set(chosen) <= set(PERMISSIONS) or (chosen and form["kind"] != "builder"):
        form.add_error("permissions", _("Only builder roles carry permissions of the console."))
    status = HTTPStatus.BAD_REQUEST
    if form.is_valid:
        try:
            role_actions.create_role(context.accounts, form["name"], form["kind"], chosen, **context.who)
        except Conflict:
            form.add_error("name", _("There is a role of that name already."))
            status = HTTPStatus.CONFLICT
        except Invalid as error:
            form.add_error("name", error_text(error))
    if not form.is_valid:
        return page("roles/new.html", status, form=form, permission_texts=PERMISSION_TEXTS)
    flash(_("The role %(role)s is created.", role=form["name"]))
    return redirect(url_for("console.roles"), 303)


@console.route("/users/roles/<role_id>/delete", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(JUST_NOW)
def delete_role(role_id: str) -> ResponseReturnValue:
    """Show who loses it and how many tokens die, then delete a role; its name is typed when somebody holds it."""
    context = console_context()
    row = _row(role_id)
    form = Form.submitted()
    status = HTTPStatus.OK
    if Form.is_submitted():
        status = HTTPStatus.BAD_REQUEST
        if row.holders and form["confirm"] != row.role.name:
            form.add_error("confirm", _("Type the name of the role exactly as it is shown."))
        else:
            try:
                role_actions.delete_role(context.accounts, row.role.name, keep_administrator=True, **context.who)
            except role_actions.LastOperationalRole as error:
                users = ", ".join([*error.users, *(["…"] if error.more else [])])
                form.add_error(
                    "", _("Left without an operational role: %(users)s. Grant another one first.", users=users)
                )
                status = HTTPStatus.CONFLICT
            except administrators.LastAdministrator as error:
                form.add_error("", error_text(error))
                status = HTTPStatus.CONFLICT
        if form.is_valid:
            flash(_("The role %(role)s is deleted.", role=row.role.name))
            return redirect(url_for("console.roles"), 303)
    preview = context.store.user_reads.preview_delete_role(row.role.name, context.now)
    return page("roles/delete.html", status, form=form, row=row, preview=preview)


def _row(role_id: str) -> RoleRow:
    for row in console_context().store.user_reads.role_rows(role_id):
        return row
    raise NotFound(role_id)
