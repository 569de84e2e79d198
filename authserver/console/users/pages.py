"""Users: list, create, let in by a one-time link, deactivate, and change who holds which role.

Whatever ends tokens shows first what ends. Nobody can take the last one who may
manage users away, and nobody deactivates themselves.
"""

from http import HTTPStatus

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.actions.preconditions import administrators
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame import query_args
from authserver.console.frame.access import JUST_NOW, RECENT, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form, submit
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text
from authserver.ports.console_reads.credentials import CredentialQuery
from authserver.ports.console_reads.users import UserQuery
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.ports.users import Role, User
from authserver.rules import permission
from authserver.rules.names import username_fault
from authserver.rules.permission import may_enter

_STATES = ("active", "inactive")


@console.get("/users")
@requires(permission.USERS)
def users() -> ResponseReturnValue:
    """List users by name."""
    context = console_context()
    state = query_args.one_of("state", _STATES)
    query = UserQuery(
        search=query_args.text("q"),
        role=query_args.text("role"),
        disabled=None if not state else state == "inactive",
        page=query_args.number("page"),
    )
    found = context.store.user_reads.users_page(query)
    return page(
        "users/list.html",
        found=found,
        query=query,
        state=state,
        roles=context.accounts.roles(),
        url_with=query_args.url_with,
    )


@console.route("/users/new", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(RECENT)
def new_user() -> ResponseReturnValue:
    """Make a user; where the user may enter the console, a one-time link is shown once."""
    context = console_context()
    if not Form.is_submitted():
        return _new_user(Form.initial({"username": "", "roles": [], "link": ["on"]}))
    form = Form.submitted()
    known = {role.name: role for role in context.accounts.roles()}
    chosen = [known[name] for name in form.getlist("roles") if name in known]
    if username_fault(form["username"]):
        form.add_error("username", _("Use 1 to 128 of A-Z a-z 0-9 . _ @ + - and begin with a letter or digit."))
    if not any(role.kind == "operational" for role in chosen):
        form.add_error("roles", _("Choose at least one operational role."))
    if not form.is_valid:
        return _new_user(form, HTTPStatus.BAD_REQUEST)
    try:
        user = user_actions.create_user(
            context.accounts, form["username"], [role.name for role in chosen], **context.who
        )
    except Conflict:
        form.add_error("username", _("There is a user of that name already, in any letter case."))
        return _new_user(form, HTTPStatus.CONFLICT)
    except (Invalid, NotFound) as error:
        form.add_error("roles", error_text(error))
        return _new_user(form, HTTPStatus.BAD_REQUEST)
    if "on" in form.getlist("link") and may_enter(role.kind for role in user.roles):
        return _show_link(user, is_new=True)
    flash(_("%(name)s is created.", name=user.username))
    return redirect(_href(user), 303)


@console.get("/users/u/<username>")
@requires(permission.USERS)
def user(username: str) -> ResponseReturnValue:
    """Show one user."""
    context = console_context()
    found = context.accounts.user(username)
    count = context.store.credential_reads.page(
        CredentialQuery(size=1), context.now, owner_id=found.id, days=False
    ).total
    effect = context.store.user_reads.preview_disable(found.username, context.now)
    return page(
        "users/one.html",
        user=found,
        credentials=count,
        live=effect.live_tokens,
        enters=_may_enter(found),
        me=_me(found),
    )


@console.route("/users/u/<username>/link", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(JUST_NOW)
def user_link(username: str) -> ResponseReturnValue:
    """Make a one-time link and show it once."""
    found = console_context().accounts.user(username)
    if not _may_enter(found):
        flash(_("Only an active user with a builder role may enter the console."), kind="alert")
        return redirect(_href(found), 303)
    if not Form.is_submitted():
        return page("users/link.html", user=found)
    return _show_link(found)


@console.route("/users/u/<username>/deactivate", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(JUST_NOW)
def deactivate(username: str) -> ResponseReturnValue:
    """Show what dies, then deactivate a user."""
    context = console_context()
    found = context.accounts.user(username)
    form = Form.submitted()
    if _me(found):
        flash(_("You cannot deactivate yourself. Ask another administrator."), kind="alert")
        return redirect(_href(found), 303)
    done = submit(
        form,
        lambda: user_actions.disable(context.accounts, found.username, keep_administrator=True, **context.who),
        message=_("%(name)s is deactivated.", name=found.username),
        target=_href(found),
        errors=(
            (administrators.LastAdministrator, "", error_text),
            (Conflict, "", _("%(name)s is deactivated already.", name=found.username)),
        ),
    )
    if done:
        return done
    preview = context.store.user_reads.preview_disable(found.username, context.now)
    return page("users/deactivate.html", form.status(HTTPStatus.CONFLICT), form=form, user=found, preview=preview)


@console.route("/users/u/<username>/reactivate", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(RECENT)
def reactivate(username: str) -> ResponseReturnValue:
    """Let a user in again; tokens from before stay dead."""
    context = console_context()
    found = context.accounts.user(username)
    form = Form.submitted()
    return submit(
        form,
        lambda: user_actions.enable(context.accounts, found.username, **context.who),
        message=_("%(name)s is active again.", name=found.username),
        target=_href(found),
        errors=((Conflict, "", _("%(name)s is active already.", name=found.username)),),
    ) or page("users/reactivate.html", form.status(HTTPStatus.CONFLICT), form=form, user=found)


@console.route("/users/u/<username>/roles/add", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(JUST_NOW)
def add_role(username: str) -> ResponseReturnValue:
    """Assign a role; every live token of the user dies, which is shown first."""
    context = console_context()
    found = context.accounts.user(username)
    open_to = [role for role in context.accounts.roles() if role.id not in {held.id for held in found.roles}]
    form = Form.submitted() if Form.is_submitted() else Form.initial({"role": ""})
    if Form.is_submitted() and form["role"] not in {role.name for role in open_to}:
        form.add_error("role", _("Choose one of the roles."))
    changed = _("That role was assigned or deleted meanwhile. Look at the list again.")
    done = submit(
        form,
        lambda: user_actions.grant(context.accounts, found.username, form["role"], **context.who),
        message=_("%(name)s holds %(role)s now.", name=found.username, role=form["role"]),
        target=_href(found),
        errors=((Conflict, "role", changed), (NotFound, "role", changed)),
    )
    if done:
        return done
    preview = context.store.user_reads.preview_grant(found.username, context.now)
    return page(
        "users/add_role.html",
        form.status(HTTPStatus.CONFLICT),
        form=form,
        user=found,
        roles=open_to,
        preview=preview,
    )


@console.route("/users/u/<username>/roles/<role_id>/remove", methods=["GET", "POST"])
@requires(permission.USERS)
@step_up(JUST_NOW)
def remove_role(username: str, role_id: str) -> ResponseReturnValue:
    """Show which credentials lose it and how many tokens die, then remove a role."""
    context = console_context()
    found = context.accounts.user(username)
    role = _held_role(found, role_id)
    form = Form.submitted()
    last_one = _("A user holds at least one operational role. Assign another one first, or deactivate the user.")
    done = submit(
        form,
        lambda: user_actions.revoke(
            context.accounts, found.username, role.name, keep_administrator=True, **context.who
        ),
        message=_("%(name)s no longer holds %(role)s.", name=found.username, role=role.name),
        target=_href(found),
        errors=(
            (Invalid, "", last_one),
            (administrators.LastAdministrator, "", error_text),
            (Conflict, "", _("%(name)s does not hold that role any more.", name=found.username)),
        ),
    )
    if done:
        return done
    preview = context.store.user_reads.preview_revoke(found.username, role.name, context.now)
    own = _me(found) and permission.USERS in role.permissions
    return page(
        "users/remove_role.html",
        form.status(HTTPStatus.CONFLICT),
        form=form,
        user=found,
        role=role,
        preview=preview,
        own_power=own,
    )


def _new_user(form: Form, status: int = 200) -> ResponseReturnValue:
    return page("users/new.html", status, form=form, roles=console_context().accounts.roles())


def _show_link(user: User, *, is_new: bool = False) -> ResponseReturnValue:
    context = console_context()
    try:
        link = sign_in_actions.make_link(context.accounts, user.username, **context.who)
    except (Invalid, NotFound):
        # Deactivated, or robbed of the builder role, since we looked.
        flash(_("Only an active user with a builder role may enter the console."), kind="alert")
        return redirect(_href(user), 303)
    address = f"{context.services.origin}{url_for('console.link', code=link.code)}"
    return page("users/link_shown.html", user=link.user, link=address, expires_at=link.expires_at, is_new=is_new)


def _held_role(user: User, role_id: str) -> Role:
    for role in user.roles:
        if role.id == role_id:
            return role
    raise NotFound(role_id)


def _may_enter(user: User) -> bool:
    return user.disabled_at is None and may_enter(role.kind for role in user.roles)


def _me(user: User) -> bool:
    return user.id == console_context().signed_in.user.id


def _href(user: User) -> str:
    return url_for("console.user", username=user.username)
