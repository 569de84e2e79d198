"""Signing in with another provider, proving it again there, and linking what one is there to what one is here.

Away and back is tied to one browser by a sealed cookie that is good once and for
ten minutes: ``state``, ``nonce`` and the PKCE verifier never leave it unsealed.
"""

import base64
import json
from typing import TYPE_CHECKING, Any, Final, Literal

from flask import abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import identities
from authserver.actions import sign_in as sign_in_actions
from authserver.console.blueprint import console
from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame import cookies, flash
from authserver.console.frame.access import RECENT, local_path, public, step_up
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text
from authserver.console.openid.identity import Identity, ProviderRefused, ProviderUnavailable
from authserver.console.sign_in.pages import Way, draft_of, home, note_refusal, ways, welcome
from authserver.ports.errors import Conflict, Invalid
from authserver.telemetry.logs import logger
from keys.master import WrongMasterKey

if TYPE_CHECKING:
    from authserver.console.openid.client import Provider

Purpose = Literal["sign-in", "prove", "link"]
METHOD: Final = "oidc"
_COOKIE: Final = "console-provider"
_SEAL: Final = "console-provider"
_LIFE: Final = 600
_SKEW: Final = 60
_MAX_STATE: Final = 3072


def proofs() -> list[Way]:
    """How one may prove again who one is, besides a password."""
    provider = console_context().services.provider
    return (
        [Way(provider.label, url_for("console.reauthenticate_with_provider"))] if provider and _mine(provider) else []
    )


def identity_provider() -> dict[str, Any] | None:
    """For the profile: what the provider is called, and who one is there."""
    provider = console_context().services.provider
    return None if provider is None else {"name": provider.label, "identities": _mine(provider)}


@console.post("/sign-in/provider")
@public
def sign_in_with_provider() -> ResponseReturnValue:
    """Send somebody to the provider to sign in."""
    return _depart("sign-in", local_path(request.form.get("next", ""), home()))


@console.post("/confirm/provider")
def reauthenticate_with_provider() -> ResponseReturnValue:
    """Send somebody to the provider to prove again who they are; what they typed waits here."""
    fields, target = draft_of(request.form)
    if fields is not None:
        flash.put_draft(target, fields)
    return _depart("prove", target)


@console.post("/profile/identities")
@step_up(RECENT)
def link_identity() -> ResponseReturnValue:
    """Send somebody to the provider to show who they are there."""
    return _depart("link", url_for("console.profile"))


@console.post("/profile/identities/unlink")
@step_up(RECENT)
def unlink_identity() -> ResponseReturnValue:
    """Take away what one is there; this very sign-in goes on."""
    at, form = console_context(), Form.sent()
    user = at.signed_in.user
    identities.unlink(at.accounts, user.username, form["issuer"], form["subject"], **at.who)
    if at.signed_in.session.method == METHOD:
        at.current_user = None  # it was one of those that just ended
        return redirect(url_for("console.sign_in"), 303)
    flash.flash(_("That sign-in is not linked any more."))
    return redirect(url_for("console.profile"), 303)


@console.get("/sign-in/provider/return")
@public
def provider_callback() -> ResponseReturnValue:
    """Take whom the provider sends back."""
    provider, state = _provider(), _state()
    if state is None:
        return _refused("no_state")
    try:
        identity, proved_at = provider.arrive(state["provider"])
        if state["purpose"] == "sign-in":
            return _sign_in(identity, state)
        return _link(identity, state) if state["purpose"] == "link" else _prove(identity, proved_at, state)
    except ProviderUnavailable as error:
        return _down(error)
    except ProviderRefused as error:
        return _refused(str(error), denied=str(error) == "denied")


def _prove(identity: Identity, proved_at: int | None, state: dict[str, Any]) -> ResponseReturnValue:
    at = _same_sign_in(state)
    if proved_at is None or proved_at < state["begun"] - _SKEW:
        raise ProviderRefused("proof_not_fresh")
    owner = at.store.sign_ins.identity_owner(identity.issuer, identity.subject)
    if owner is None or owner.id != at.signed_in.user.id:
        raise ProviderRefused("another_person")
    cookies.assign_id(sign_in_actions.renew(at.store.sign_ins, cookies.browser_id(), at.now))
    return redirect(state["next"], 303)


def _sign_in(identity: Identity, state: dict[str, Any]) -> ResponseReturnValue:
    at = console_context()
    user = at.store.sign_ins.identity_owner(identity.issuer, identity.subject)
    if user is None or not sign_in_actions.may_enter_now(user):
        note_refusal("not_linked" if user is None else "may_not_enter", user.username if user else "", METHOD)
        return page("not_linked.html", 403, identity=identity, known=user is not None, requested_path=_sign_in_path)
    return welcome(user, METHOD, state["next"])


def _same_sign_in(state: dict[str, Any]) -> ConsoleContext:
    """Who comes back is who went away, or nobody."""
    at = console_context()
    if at.current_user is None or at.current_user.session.handle != state["handle"]:
        raise ProviderRefused("another_sign_in")
    return at


def _link(identity: Identity, state: dict[str, Any]) -> ResponseReturnValue:
    at = _same_sign_in(state)
    username = at.signed_in.user.username
    try:
        identities.link(at.accounts, username, identity.issuer, identity.subject, **at.who)
    except (Conflict, Invalid) as error:
        flash.flash(error_text(error), kind="alert")
    else:
        flash.flash(_("Linked. From now on you can sign in that way."))
    return redirect(url_for("console.profile"), 303)


def _depart(purpose: Purpose, target: str) -> ResponseReturnValue:
    at, provider = console_context(), _provider()
    try:
        away = provider.depart(at.services.origin + url_for("console.provider_callback"), again=purpose == "prove")
    except ProviderUnavailable as error:
        return _down(error)
    kept = {
        "purpose": purpose,
        "next": target if len(target) < _MAX_STATE // 2 else home(),
        "handle": at.current_user.session.handle if at.current_user else "",
        "begun": at.now,
        "provider": away.state,
    }
    sealed = at.services.master().seal(_SEAL, json.dumps(kept).encode())
    # The policy of the page holds for where its form is redirected to, so a page sends the reader on, not a redirect.
    response = page("away.html", url=away.url, name=provider.label)
    cookies.put(response, cookies.cookie_name(_COOKIE), base64.urlsafe_b64encode(sealed).decode(), max_age=_LIFE)
    return response


def _state() -> dict[str, Any] | None:
    """What this browser took along; it is good once."""
    at = console_context()
    cookies.drop(cookies.cookie_name(_COOKIE))
    kept = request.cookies.get(cookies.cookie_name(_COOKIE), "")
    try:
        state: dict[str, Any] = json.loads(at.services.master().open(_SEAL, base64.urlsafe_b64decode(kept.encode())))
    except (ValueError, WrongMasterKey):
        return None
    return state if state["begun"] <= at.now < state["begun"] + _LIFE else None


def _provider() -> "Provider":
    provider = console_context().services.provider
    if provider is None:
        abort(404)
    return provider


def _mine(provider: "Provider") -> list[Any]:
    mine = console_context().store.sign_ins.identities_of(console_context().signed_in.user.id)
    return [each for each in mine if each.issuer == provider.settings.issuer]


def _down(error: ProviderUnavailable) -> ResponseReturnValue:
    logger().warning("provider_down", reason=str(error))
    said = _("%(name)s does not answer as it should. Try again in a minute, or sign in another way.")
    return _again(said % {"name": _provider().label}, 503)


def _refused(reason: str, *, denied: bool = False) -> ResponseReturnValue:
    note_refusal(reason, "", METHOD)
    if denied:
        return _again(_("%(name)s did not let you in. Nothing was changed.") % {"name": _provider().label}, 403)
    return _again(_("That did not work, or took too long. Nothing was changed; please begin again."), 400)


def _again(text: str, status: int) -> ResponseReturnValue:
    form = Form({})
    form.fault("", text)
    if console_context().current_user is not None:
        return page("elsewhere_failed.html", status, form=form, requested_path=_sign_in_path)
    return page("sign_in.html", status, form=form, next=home(), ways=ways(), requested_path=_sign_in_path)


def _sign_in_path() -> str:
    """Where the frame's own forms lead back to: the address at hand holds a code, and is good once."""
    return url_for("console.sign_in")
