"""Your own profile: password, language, zone, theme, keys, and where you are signed in."""

from dataclasses import replace
from http import HTTPStatus

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import sign_in as sign_in_actions
from authserver.actions import users as user_actions
from authserver.actions.events.mail import set_address
from authserver.actions.sign_in import SignInRefused
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.access import step_up
from authserver.console.frame.dates import known_zones
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import THEMES, page, theme
from authserver.console.i18n.messages import LANGUAGES, _, error_text, language, set_language
from authserver.console.sign_in.pages import login_throttle
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.sign_in import JUST_NOW
from authserver.telemetry.logs import logger


@console.get("/profile")
def profile() -> ResponseReturnValue:
    """Show who is signed in, where, and how they like it."""
    preferences = console_context().signed_in.preferences
    values = {"language": language(), "zone": preferences.zone, "theme": theme()}
    return _profile(Form.initial({**values, "shortcuts": ["on"] if preferences.shortcuts else []}))


@console.post("/profile")
def do_profile() -> ResponseReturnValue:
    """Keep language, zone, theme and keys."""
    context, form = console_context(), Form.submitted()
    if form["language"] not in LANGUAGES:
        form.add_error("language", _("Choose one of the languages."))
    if form["theme"] not in THEMES:
        form.add_error("theme", _("Choose one of the themes."))
    if form["zone"] and form["zone"] not in known_zones():
        form.add_error(
            "zone", _("There is no such time zone. Choose one from the list, such as Europe/Berlin, or leave it empty.")
        )
    if not form.is_valid:
        return _profile(form, HTTPStatus.BAD_REQUEST)
    changed = replace(
        context.signed_in.preferences,
        language=form["language"],
        zone=form["zone"],
        theme=form["theme"],
        shortcuts="on" in form.getlist("shortcuts"),
    )
    context.store.sign_ins.set_preferences(context.signed_in.user.id, changed)
    set_language(changed.language)
    flash(_("Saved."))
    return redirect(url_for("console.profile"), 303)


@console.post("/profile/email")
def do_email() -> ResponseReturnValue:
    """Set the address that mail about one's own credentials goes to; an empty one: no mail."""
    context, form = console_context(), Form.submitted()
    try:
        set_address(context.accounts, context.signed_in.user.username, form["email"] or None, **context.who)
    except Invalid:
        flash(_("That is no address. Type one like ada@example.com, or leave it empty."), kind="alert")
    except Conflict:
        flash(_("It is so already."))
    else:
        flash(_("Saved."))
    return redirect(url_for("console.profile"), 303)


@console.get("/profile/password")
def password() -> ResponseReturnValue:
    """Ask for a new password."""
    return page("password.html", form=Form({}), has_password=_has_password())


@console.post("/profile/password")
def do_password() -> ResponseReturnValue:
    """Set a new password; everybody else who is signed in as this user is signed out."""
    if not _has_password():
        return _first_password()
    context, form = console_context(), Form.submitted()
    user = context.signed_in.user
    wait = login_throttle().begin(user.username, context.peer)
    try:
        if wait:
            form.add_error("password", _("Too many tries. Wait a minute, then try again."))
            return page("password.html", HTTPStatus.TOO_MANY_REQUESTS, form=form, has_password=True)
        sign_in_actions.check_password(context.store.sign_ins, user.username, form.raw("password"))
    except SignInRefused:
        form.add_error("password", _("That is not your password."))
        return page("password.html", HTTPStatus.BAD_REQUEST, form=form, has_password=True)
    login_throttle().succeeded(user.username, context.peer)
    return _set_password(form)


@step_up(JUST_NOW)
def _first_password() -> ResponseReturnValue:
    """Whoever has none proves it by a fresh sign-in."""
    return _set_password(Form.submitted())


def _set_password(form: Form) -> ResponseReturnValue:
    context = console_context()
    current_user = context.signed_in
    try:
        hashed = user_actions.hash_password(current_user.user.username, form.raw("password_new"))
    except Invalid as error:
        form.add_error("password_new", error_text(error))
        return page("password.html", HTTPStatus.BAD_REQUEST, form=form, has_password=_has_password())
    user_actions.set_password(
        context.accounts, current_user.user.username, hashed, keep=current_user.session.handle, **context.who
    )
    logger().info("console_password_set", user=current_user.user.username, peer=context.peer)
    flash(_("Your password is changed. Wherever else you were signed in, you are not any more."))
    return redirect(url_for("console.profile"), 303)


@console.post("/profile/sessions/end")
def end_session() -> ResponseReturnValue:
    """Sign out elsewhere: one place, or all others."""
    context, handle = console_context(), request.form.get("session", "")
    current_user = context.signed_in
    if handle == "others":
        sign_in_actions.end_other_sessions(
            context.accounts, current_user.user, current_user.session.handle, **context.who
        )
        flash(_("You are signed out everywhere else."))
    elif handle == current_user.session.handle:
        flash(_("That is this very sign-in: use Sign out."), kind="alert")
    else:
        try:
            sign_in_actions.end_session(context.accounts, current_user.user, handle, **context.who)
            flash(_("That sign-in is ended."))
        except NotFound:
            flash(_("That sign-in has ended already."))
    return redirect(url_for("console.profile"), 303)


def _profile(form: Form, status: int = 200) -> ResponseReturnValue:
    context = console_context()
    sessions = sign_in_actions.sessions_of(context.store.sign_ins, context.signed_in.user, context.now)
    return page(
        "profile.html",
        status,
        form=form,
        sessions=sessions,
        zones=sorted(known_zones()),
        has_password=_has_password(),
        email=context.store.outbox.address(context.signed_in.user.id),
    )


def _has_password() -> bool:
    context = console_context()
    known = context.store.sign_ins.password_of(context.signed_in.user.username)
    return known is not None and known[1] is not None
