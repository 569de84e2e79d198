"""The pages that ask who you are: sign in, one-time link, ask again, sign out."""

import base64
import json
from typing import Final

from flask import Response, current_app, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from authserver.actions import signin
from authserver.actions.signin import SignedIn, SignInRefused
from authserver.ports import NotFound
from authserver.web.console import cookies, notices
from authserver.web.console.admission import asked_path, local_path, public
from authserver.web.console.blueprint import console
from authserver.web.console.forms import Form, keepable
from authserver.web.console.here import here
from authserver.web.console.pages import page
from authserver.web.console.words import _
from keys.master import WrongMasterKey

_HOME: Final = "/console/credentials"
_DRAFT: Final = "console-draft"
_DRAFT_LIFE: Final = 12 * 3600
_MAX_DRAFT: Final = 16 * 1024


@console.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Ask for user name and password."""
    target = local_path(request.args.get("next", ""), _HOME)
    if here().visit is not None:
        return redirect(target, 303)
    return page("sign_in.html", form=Form.blank(), next=target)


@console.post("/sign-in")
@public
def do_sign_in() -> ResponseReturnValue:
    """Let in who knows the password."""
    at, form = here(), Form.sent()
    target, kept = local_path(form["next"], _HOME), form["_draft"]
    try:
        user = signin.check_password(at.store.sign_ins, form["username"], form.raw("password"))
    except SignInRefused:
        form.fault("", _("The user name or the password is wrong, or this account may not enter."))
        return page("sign_in.html", 401, form=form, next=target, draft=kept)
    fields, target = _opened_draft(kept, user.id, target)
    pending = json.dumps({"draft": {"path": target, "fields": fields}}) if fields is not None else ""
    signed_in = signin.begin(
        at.accounts,
        user,
        method="password",
        peer=at.peer,
        agent=request.user_agent.string,
        now=at.now,
        pending=pending,
    )
    return _enter(signed_in, target)


@console.get("/link")
@public
def link() -> ResponseReturnValue:
    """Show whom a one-time link signs in; only the button uses it up, so a preview of the link does not."""
    at, code = here(), request.args.get("code", "")
    user = signin.link_owner(at.store.sign_ins, code, at.now)
    return page("link.html", 200 if user else 404, user=user, code=code if user else "")


@console.post("/link")
@public
def use_link() -> ResponseReturnValue:
    """Sign in by a one-time link."""
    at = here()
    try:
        signed_in = signin.use_link(
            at.accounts, request.form.get("code", ""), peer=at.peer, agent=request.user_agent.string, now=at.now
        )
    except NotFound:
        return page("link.html", 404, user=None, code="")
    return _enter(signed_in, url_for("console.profile"))


@console.get("/confirm")
def confirm_it() -> ResponseReturnValue:
    """Ask for the password again."""
    return page("confirm_it.html", form=Form({}), next=local_path(request.args.get("next", ""), _HOME))


@console.post("/confirm")
def do_confirm_it() -> ResponseReturnValue:
    """Take the password as a new proof."""
    at, form = here(), Form.sent()
    target, kept = local_path(form["next"], _HOME), form["_draft"]
    user = at.signed_in.user
    try:
        fresh = signin.prove(at.store.sign_ins, cookies.browser_id(), user, form.raw("password"), at.now)
    except SignInRefused:
        form.fault("password", _("That is not your password."))
        return page("confirm_it.html", 401, form=form, next=target, draft=kept)
    cookies.give(fresh)
    fields, target = _opened_draft(kept, user.id, target)
    if fields is not None:
        notices.put_draft(target, fields)
        notices.tell(_("Thank you. Your entries are still here: check them and send the form."))
    return redirect(target, 303)


@console.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this sign-in."""
    at = here()
    at.store.sign_ins.close(signin.hashed(cookies.browser_id()))
    at.visit = None
    response = make_response(page("signed_out.html"))
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    response.delete_cookie(cookies.cookie_name(), path="/", secure=at.secure, httponly=True, samesite="Lax")
    return response


@console.post("/stay")
def stay() -> ResponseReturnValue:
    """Say that somebody is still there; the script asks before the sign-in ends."""
    at = here()
    at.store.sign_ins.seen(signin.hashed(cookies.browser_id()), at.now)
    return Response(status=204)


def ask_who(user_id: str) -> ResponseReturnValue:
    """Answer a form whose sender is not signed in any more; what was typed is kept for ``user_id``, if any."""
    target = _page_of_form()
    form = Form({})
    kept = _sealed_draft(target, user_id) if user_id else ""
    form.fault("", _("You have been signed out. Sign in again; what you typed is kept, except passwords."))
    return page("sign_in.html", 401, form=form, next=target, draft=kept)


def ask_again() -> ResponseReturnValue:
    """Ask for the password before the page at hand; what was sent to it is kept."""
    if request.method in {"GET", "HEAD"}:
        return redirect(url_for("console.confirm_it", next=asked_path()), 303)
    target = _page_of_form()
    kept = _sealed_draft(target, here().signed_in.user.id)
    return page("confirm_it.html", 401, form=Form({}), next=target, draft=kept)


def _enter(signed_in: SignedIn, target: str) -> ResponseReturnValue:
    cookies.give(signed_in.id)
    here().visit = None  # the answer says nothing yet: the next request is the first of this sign-in
    return redirect(target, 303)


def _page_of_form() -> str:
    """The page that shows the form at hand: the same path, where one can read it; else where the form says it is."""
    try:
        current_app.url_map.bind("").match(request.path, method="GET")
    except (HTTPException, RequestRedirect):
        return local_path(request.form.get("back", ""), _HOME)
    return local_path(request.path, _HOME)


def _sealed_draft(target: str, user_id: str) -> str:
    """What was typed, sealed for the one who typed it; empty where there is nothing, or too much."""
    fields = keepable(request.form.to_dict(flat=False))
    if not fields:
        return ""
    text = json.dumps({"path": target, "user": user_id, "fields": fields, "until": here().now + _DRAFT_LIFE})
    if len(text) > _MAX_DRAFT:
        return ""
    return base64.urlsafe_b64encode(here().house.master().seal(_DRAFT, text.encode())).decode()


def _opened_draft(kept: str, user_id: str, target: str) -> tuple[dict[str, list[str]] | None, str]:
    """What was typed, and the page it was typed into; None where it is somebody else's or too old."""
    try:
        found = json.loads(here().house.master().open(_DRAFT, base64.urlsafe_b64decode(kept.encode("ascii"))))
    except (ValueError, WrongMasterKey):
        return None, target
    if found["user"] != user_id or found["until"] <= here().now:
        return None, target
    return found["fields"], found["path"]
