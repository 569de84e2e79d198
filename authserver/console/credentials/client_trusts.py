"""Whose tokens stand for a credential of one's own: add a trust, remove one, try a token."""

from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions.client_authentication import trusts as client_trusts
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.change import own
from authserver.console.frame.access import JUST_NOW, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, error_text
from authserver.ports.credentials import TrustRecord
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules.client_authentication.trust import Trust, made_trust, trust_of

_FIELDS: Final = ("issuer", "audience", "subject", "claims", "jwks", "jwks_uri", "once")

PLATFORMS: Final = (
    ("GitHub Actions", "https://token.actions.githubusercontent.com", "repo:OWNER/REPOSITORY:environment:NAME"),
    ("GitLab CI", "https://gitlab.com", "project_path:GROUP/PROJECT:ref_type:branch:ref:main"),
    ("Kubernetes", "https://kubernetes.default.svc", "system:serviceaccount:NAMESPACE:NAME"),
    ("SPIFFE", "https://oidc.spire.example.org", "spiffe://TRUST-DOMAIN/PATH"),
)
"""What the tokens of well-known platforms say: name, issuer, subject."""

# What a trust may be refused for, so that it is translated; see rules/client_authentication/trust.
REFUSALS: Final = (
    N_("the credential trusts that issuer just so already"),
    N_("the JWK set holds a private key, which is nobody's to paste; take the public one"),
    N_("this is no JWT: three parts of base64url with dots between, signed, of 8 kB at most"),
    N_("give the keys of the issuer as a JWK set or by an address, not both"),
    N_("keys are fetched by https; plain http is for this machine only"),
    N_("a claim has one condition; for other values make another trust"),
    N_("issuer, audience and times have rules of their own; name other claims"),
)


class ShownTrust:
    """A trust as the page shows it."""

    def __init__(self, record: TrustRecord) -> None:
        self.record, self.live = record, record.ends_at is None
        try:
            self.trust = trust_of(record.text)
        except ValueError:
            self.trust = Trust(_("Written by a newer version, so it gets no tokens from this one"), "", ())


@console.route("/credentials/<client_id>/trusts/add", methods=["GET", "POST"])
@step_up(JUST_NOW)
def add_trust(client_id: str) -> ResponseReturnValue:
    """Ask whose tokens are trusted, and add it."""
    context, row = console_context(), own(client_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial(dict.fromkeys(_FIELDS, ""))
    if Form.is_submitted():
        try:
            wanted = _wanted(form, context.services.issuer)
            client_trusts.add(context.accounts, client_id, wanted, owner_id=row.owner_id, **context.who)
        except (Conflict, Invalid) as error:
            form.add_error("", error_text(error))
            if '"d"' in form["jwks"]:
                form.set("jwks", "")  # a private key is not given back, nor kept
        else:
            flash(_("The trust is added. Try a token of your platform before you rely on it."))
            return redirect(url_for("console.try_trust", client_id=client_id), 303)
    status = HTTPStatus.OK if form.is_valid else HTTPStatus.BAD_REQUEST
    ours = context.services.issuer
    return page("credentials/add_trust.html", status, row=row, form=form, platforms=PLATFORMS, ours=ours)


@console.route("/credentials/<client_id>/trusts/<trust_id>/remove", methods=["GET", "POST"])
@step_up(JUST_NOW)
def remove_trust(client_id: str, trust_id: str) -> ResponseReturnValue:
    """Ask before a trust ends with its tokens, and end it."""
    context, row = console_context(), own(client_id)
    if not Form.is_submitted():
        return page("credentials/remove_trust.html", row=row, trust_id=trust_id)
    try:
        client_trusts.remove(context.accounts, client_id, trust_id, owner_id=row.owner_id, **context.who)
        flash(_("The trust is removed, and its tokens are dead."))
    except NotFound:
        flash(_("That trust had been removed already."))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="trusts"), 303)


@console.route("/credentials/<client_id>/trusts/try", methods=["GET", "POST"])
def try_trust(client_id: str) -> ResponseReturnValue:
    """Hold a pasted token against each trust; it is neither kept nor given back."""
    context, row = console_context(), own(client_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"secret_token": ""})
    trials: tuple[client_trusts.Trial, ...] = ()
    if Form.is_submitted():
        try:
            trials = client_trusts.try_token(
                context.accounts,
                client_id,
                form["secret_token"],
                context.services.remote_keys,
                now=context.now,
                owner_id=row.owner_id,
            )
        except (Invalid, NotFound) as error:
            form.add_error("secret_token", error_text(error))
        form.set("secret_token", "")
    status = HTTPStatus.OK if form.is_valid else HTTPStatus.BAD_REQUEST
    return page("credentials/try_trust.html", status, row=row, form=form, trials=trials)


def _wanted(form: Form, ours: str) -> Trust:
    """What was typed; other claims stand one a line, as NAME=VALUE.

    Raises:
        Invalid: the text says what to write instead.
    """
    pairs = [("sub", form["subject"])] if form["subject"] else []
    for line in filter(None, map(str.strip, form["claims"].splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            msg = "write other claims one a line, as NAME=VALUE"
            raise Invalid(msg)
        pairs.append((name, value))
    try:
        return made_trust(
            form["issuer"],
            form["audience"] or ours,
            pairs,
            jwks=form["jwks"],
            jwks_uri=form["jwks_uri"],
            once=bool(form["once"]),
        )
    except ValueError as error:
        raise Invalid(str(error)) from error
