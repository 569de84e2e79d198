"""Your own profile: password, language, zone, theme, keys, and where you are signed in."""

from dataclasses import replace
from http import HTTPStatus

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import people, signin
from authserver.actions.signin import SignInRefused
from authserver.ports import Invalid, NotFound
from authserver.rules.signed_in import JUST_NOW
from authserver.telemetry.logs import logger
from authserver.web.console.admission import step_up
from authserver.web.console.blueprint import console
from authserver.web.console.forms import Form
from authserver.web.console.here import here
from authserver.web.console.moments import known_zones
from authserver.web.console.notices import tell
from authserver.web.console.pages import THEMES, page, theme
from authserver.web.console.signing_in import patience
from authserver.web.console.words import LANGUAGES, _, language, speak, told


@console.get("/profile")
def profile() -> ResponseReturnValue:
    """Show who is signed in, where, and how they like it."""
    likes = here().signed_in.preferences
    values = {"language": language(), "zone": likes.zone, "theme": theme()}
    return _profile(Form.blank({**values, "shortcuts": ["on"] if likes.shortcuts else []}))


@console.post("/profile")
def do_profile() -> ResponseReturnValue:
    """Keep language, zone, theme and keys."""
    at, form = here(), Form.sent()
    if form["language"] not in LANGUAGES:
        form.fault("language", _("Choose one of the languages."))
    if form["theme"] not in THEMES:
        form.fault("theme", _("Choose one of the themes."))
    if form["zone"] and form["zone"] not in known_zones():
        form.fault(
            "zone", _("There is no such time zone. Choose one from the list, such as Europe/Berlin, or leave it empty.")
        )
    if not form.good:
        return _profile(form, HTTPStatus.BAD_REQUEST)
    changed = replace(
        at.signed_in.preferences,
        language=form["language"],
        zone=form["zone"],
        theme=form["theme"],
        shortcuts="on" in form.all("shortcuts"),
    )
    at.store.sign_ins.prefer(at.signed_in.user.id, changed)
    speak(changed.language)
    tell(_("Saved."))
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
    at, form = here(), Form.sent()
    user = at.signed_in.user
    wait = patience().begin(user.username, at.peer)
    try:
        if wait:
            form.fault("password", _("Too many tries. Wait a minute, then try again."))
            return page("password.html", HTTPStatus.TOO_MANY_REQUESTS, form=form, has_password=True)
        signin.check_password(at.store.sign_ins, user.username, form.raw("password"))
    except SignInRefused:
        form.fault("password", _("That is not your password."))
        return page("password.html", HTTPStatus.BAD_REQUEST, form=form, has_password=True)
    patience().succeeded(user.username, at.peer)
    return _set_password(form)


@step_up(JUST_NOW)
def _first_password() -> ResponseReturnValue:
    """Whoever has none proves it by a fresh sign-in."""
    return _set_password(Form.sent())


def _set_password(form: Form) -> ResponseReturnValue:
    at = here()
    visit = at.signed_in
    try:
        hashed = people.hash_password(visit.user.username, form.raw("password_new"))
    except Invalid as error:
        form.fault("password_new", told(error))
        return page("password.html", HTTPStatus.BAD_REQUEST, form=form, has_password=_has_password())
    people.set_password(at.accounts, visit.user.username, hashed, keep=visit.session.handle, **at.who)
    logger().info("console_password_set", user=visit.user.username, peer=at.peer)
    tell(_("Your password is changed. Wherever else you were signed in, you are not any more."))
    return redirect(url_for("console.profile"), 303)


@console.post("/profile/sessions/end")
def end_session() -> ResponseReturnValue:
    """Sign out elsewhere: one place, or all others."""
    at, handle = here(), request.form.get("session", "")
    visit = at.signed_in
    if handle == "others":
        signin.end_other_sessions(at.accounts, visit.user, visit.session.handle, **at.who)
        tell(_("You are signed out everywhere else."))
    elif handle == visit.session.handle:
        tell(_("That is this very sign-in: use Sign out."), kind="alert")
    else:
        try:
            signin.end_session(at.accounts, visit.user, handle, **at.who)
            tell(_("That sign-in is ended."))
        except NotFound:
            tell(_("That sign-in has ended already."))
    return redirect(url_for("console.profile"), 303)


def _profile(form: Form, status: int = 200) -> ResponseReturnValue:
    at = here()
    sessions = signin.sessions_of(at.store.sign_ins, at.signed_in.user, at.now)
    return page(
        "profile.html",
        status,
        form=form,
        sessions=sessions,
        zones=sorted(known_zones()),
        has_password=_has_password(),
    )


def _has_password() -> bool:
    at = here()
    known = at.store.sign_ins.password_of(at.signed_in.user.username)
    return known is not None and known[1] is not None
