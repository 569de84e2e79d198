"""Single sign-on: sign-in and reauthentication at an OpenID provider, and linking its identities to users.

The authorization request is bound to one browser by a sealed cookie that is good once and for
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
from authserver.console.sign_in.pages import (
    SignInMethod,
    complete_sign_in,
    draft_of,
    home,
    note_refusal,
    sign_in_methods,
)
from authserver.ports.errors import Conflict, Invalid
from authserver.telemetry.logs import logger
from keys.master import WrongMasterKey

if TYPE_CHECKING:
    from authserver.console.openid.client import Provider

Purpose = Literal["sign-in", "prove", "link"]
METHOD: Final = "oidc"
_COOKIE: Final = "console-provider"
_SEAL: Final = "console-provider"
_STATE_SECONDS: Final = 600
_CLOCK_SKEW_SECONDS: Final = 60
_MAX_STATE: Final = 3072


def reauthentication_methods() -> list[SignInMethod]:
    """How one may prove again who one is, besides a password."""
    provider = console_context().services.provider
    return (
        [SignInMethod(provider.label, url_for("console.reauthenticate_with_provider"))]
        if provider and _linked_identities(provider)
        else []
    )


def identity_provider() -> dict[str, Any] | None:
    """For the profile: what the provider is called, and who one is there."""
    provider = console_context().services.provider
    return None if provider is None else {"name": provider.label, "identities": _linked_identities(provider)}


@console.post("/sign-in/provider")
@public
def sign_in_with_provider() -> ResponseReturnValue:
    """Redirect to the provider to sign in."""
    return _redirect_to_provider("sign-in", local_path(request.form.get("next", ""), home()))


@console.post("/confirm/provider")
def reauthenticate_with_provider() -> ResponseReturnValue:
    """Redirect to the provider to authenticate again; the submitted form is kept meanwhile."""
    fields, target = draft_of(request.form)
    if fields is not None:
        flash.put_draft(target, fields)
    return _redirect_to_provider("prove", target)


@console.post("/profile/identities")
@step_up(RECENT)
def link_identity() -> ResponseReturnValue:
    """Redirect to the provider to link its account to the signed-in user."""
    return _redirect_to_provider("link", url_for("console.profile"))


@console.post("/profile/identities/unlink")
@step_up(RECENT)
def unlink_identity() -> ResponseReturnValue:
    """Take away what one is there; this very sign-in goes on."""
    context, form = console_context(), Form.submitted()
    user = context.signed_in.user
    identities.unlink(context.accounts, user.username, form["issuer"], form["subject"], **context.who)
    if context.signed_in.session.method == METHOD:
        context.current_user = None  # it was one of those that just ended
        return redirect(url_for("console.sign_in"), 303)
    flash.flash(_("That sign-in is not linked any more."))
    return redirect(url_for("console.profile"), 303)


@console.get("/sign-in/provider/return")
@public
def provider_callback() -> ResponseReturnValue:
    """Take whom the provider sends back."""
    provider, state = _provider(), _state()
    if state is None:
        return _sign_in_refused("no_state")
    try:
        identity, proved_at = provider.fetch_identity(state["provider"])
        if state["purpose"] == "sign-in":
            return _sign_in(identity, state)
        return _link(identity, state) if state["purpose"] == "link" else _reauthenticate(identity, proved_at, state)
    except ProviderUnavailable as error:
        return _provider_unavailable(error)
    except ProviderRefused as error:
        return _sign_in_refused(str(error), denied=str(error) == "denied")


def _reauthenticate(identity: Identity, proved_at: int | None, state: dict[str, Any]) -> ResponseReturnValue:
    at = _same_sign_in(state)
    if proved_at is None or proved_at < state["begun"] - _CLOCK_SKEW_SECONDS:
        raise ProviderRefused("proof_not_fresh")
    owner = at.store.sign_ins.identity_owner(identity.issuer, identity.subject)
    if owner is None or owner.id != at.signed_in.user.id:
        raise ProviderRefused("another_person")
    cookies.assign_id(sign_in_actions.renew(at.store.sign_ins, cookies.browser_id(), at.now))
    return redirect(state["next"], 303)


def _sign_in(identity: Identity, state: dict[str, Any]) -> ResponseReturnValue:
    context = console_context()
    user = context.store.sign_ins.identity_owner(identity.issuer, identity.subject)
    if user is None or not sign_in_actions.may_enter_now(user):
        note_refusal("not_linked" if user is None else "may_not_enter", user.username if user else "", METHOD)
        return page("not_linked.html", 403, identity=identity, known=user is not None, requested_path=_sign_in_path)
    return complete_sign_in(user, METHOD, state["next"])


def _same_sign_in(state: dict[str, Any]) -> ConsoleContext:
    """The context, where the session is still the one that left for the provider."""
    context = console_context()
    if context.current_user is None or context.current_user.session.handle != state["handle"]:
        raise ProviderRefused("another_sign_in")
    return context


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


def _redirect_to_provider(purpose: Purpose, target: str) -> ResponseReturnValue:
    context, provider = console_context(), _provider()
    try:
        authorization = provider.create_authorization_request(
            context.services.origin + url_for("console.provider_callback"), reauthenticate=purpose == "prove"
        )
    except ProviderUnavailable as error:
        return _provider_unavailable(error)
    state = {
        "purpose": purpose,
        "next": target if len(target) < _MAX_STATE // 2 else home(),
        "handle": context.current_user.session.handle if context.current_user else "",
        "begun": context.now,
        "provider": authorization.state,
    }
    sealed = context.services.master().seal(_SEAL, json.dumps(state).encode())
    # The policy of the page holds for where its form is redirected to, so a page sends the reader on, not a redirect.
    response = page("away.html", url=authorization.url, name=provider.label)
    cookies.put(
        response, cookies.cookie_name(_COOKIE), base64.urlsafe_b64encode(sealed).decode(), max_age=_STATE_SECONDS
    )
    return response


def _state() -> dict[str, Any] | None:
    """The state of the authorization request from this browser's cookie; it is good once."""
    context = console_context()
    cookies.drop(cookies.cookie_name(_COOKIE))
    sealed = request.cookies.get(cookies.cookie_name(_COOKIE), "")
    try:
        state: dict[str, Any] = json.loads(
            context.services.master().open(_SEAL, base64.urlsafe_b64decode(sealed.encode()))
        )
    except (ValueError, WrongMasterKey):
        return None
    return state if state["begun"] <= context.now < state["begun"] + _STATE_SECONDS else None


def _provider() -> "Provider":
    provider = console_context().services.provider
    if provider is None:
        abort(404)
    return provider


def _linked_identities(provider: "Provider") -> list[Any]:
    identities_of_user = console_context().store.sign_ins.identities_of(console_context().signed_in.user.id)
    return [each for each in identities_of_user if each.issuer == provider.settings.issuer]


def _provider_unavailable(error: ProviderUnavailable) -> ResponseReturnValue:
    logger().warning("provider_down", reason=str(error))
    text = _("%(name)s does not answer as it should. Try again in a minute, or sign in another way.")
    return _retry_page(text % {"name": _provider().label}, 503)


def _sign_in_refused(reason: str, *, denied: bool = False) -> ResponseReturnValue:
    note_refusal(reason, "", METHOD)
    if denied:
        return _retry_page(_("%(name)s did not let you in. Nothing was changed.") % {"name": _provider().label}, 403)
    return _retry_page(_("That did not work, or took too long. Nothing was changed; please begin again."), 400)


def _retry_page(text: str, status: int) -> ResponseReturnValue:
    form = Form({})
    form.add_error("", text)
    if console_context().current_user is not None:
        return page("elsewhere_failed.html", status, form=form, requested_path=_sign_in_path)
    return page(
        "sign_in.html", status, form=form, next=home(), sign_in_methods=sign_in_methods(), requested_path=_sign_in_path
    )


def _sign_in_path() -> str:
    """Where the frame's own forms lead back to: the address at hand holds a code, and is good once."""
    return url_for("console.sign_in")
