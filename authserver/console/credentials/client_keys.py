"""The public keys of a credential of one's own: add one by paste, remove one, end all secrets."""

from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import client_keys, credentials
from authserver.actions.client_authentication import key_addresses
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.change import own
from authserver.console.frame.access import JUST_NOW, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, error_text
from authserver.ports.errors import Conflict, Invalid, NotFound
from keys.public_keys import registered

ALGORITHMS: Final = (("", N_("As the key says")), ("PS256", "PS256"), ("RS256", "RS256"))

# What pasting a key may be refused for, so that it is translated; see keys/public_keys and keys/import_key.
REFUSALS: Final = (
    N_("this holds a private key, which must never leave the client: make a new pair and paste its public half"),
    N_("no public key can be read from it; paste what `openssl pkey -in key.pem -pubout` prints, or a JWK"),
    N_("an RSA key signs with PS256 or with RS256: choose the one that the client uses"),
    N_("the JWK is malformed, or its numbers are no key"),
    N_("the credential has this key already"),
    N_("the credential has 2 keys, which is the most; remove the one that is not used any more first"),
    N_("it has no key, so nothing could authenticate any more; add a key first, or disable it"),
    N_("no secret of the credential works any more"),
    N_("its keys are taken from that address already"),
    N_("the credential has no address of keys"),
)


@console.get("/credentials/<client_id>/keys/add")
@step_up(JUST_NOW)
def add_key(client_id: str) -> ResponseReturnValue:
    """Ask for a public key."""
    own(client_id)
    return _add_page(client_id, Form.initial({"public_key": "", "alg": "", "jwks_uri": ""}))


@console.post("/credentials/<client_id>/keys/add")
@step_up(JUST_NOW)
def do_add_key(client_id: str) -> ResponseReturnValue:
    """Add it, and show its thumbprint to compare."""
    context, row, form = console_context(), own(client_id), Form.submitted()
    try:
        key = client_keys.add(
            context.accounts, client_id, form["public_key"], form["alg"], owner_id=row.owner_id, **context.who
        )
    except (Conflict, Invalid) as error:
        form.add_error("public_key", error_text(error))
        if "PRIVATE" in form["public_key"] or '"d"' in form["public_key"]:
            form.set("public_key", "")  # it is not given back, nor kept
        return _add_page(client_id, form, HTTPStatus.BAD_REQUEST)
    thumbprint = registered(key.public_jwk).thumbprint
    flash(_("The key is added. Compare its thumbprint with your own: %(thumbprint)s", thumbprint=thumbprint))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="keys"), 303)


@console.route("/credentials/<client_id>/keys/<thumbprint>/remove", methods=["GET", "POST"])
@step_up(JUST_NOW)
def remove_key(client_id: str, thumbprint: str) -> ResponseReturnValue:
    """Ask before a key ends with its tokens, and end it."""
    context, row = console_context(), own(client_id)
    if not Form.is_submitted():
        return page("credentials/remove_key.html", row=row, thumbprint=thumbprint)
    try:
        client_keys.remove(context.accounts, client_id, thumbprint, owner_id=row.owner_id, **context.who)
        flash(_("The key is removed, and its tokens are dead."))
    except NotFound:
        flash(_("That key had been removed already."))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="keys"), 303)


@console.post("/credentials/<client_id>/keys/publish")
@step_up(JUST_NOW)
def publish_keys(client_id: str) -> ResponseReturnValue:
    """Take its keys from where the client publishes them, or with an empty address from nowhere."""
    context, row, form = console_context(), own(client_id), Form.submitted()
    try:
        if form["jwks_uri"]:
            key_addresses.publish(context.accounts, client_id, form["jwks_uri"], owner_id=row.owner_id, **context.who)
        else:
            key_addresses.withdraw(context.accounts, client_id, owner_id=row.owner_id, **context.who)
    except (Conflict, Invalid, NotFound) as error:
        form.add_error("jwks_uri", error_text(error))
        return _add_page(client_id, form, HTTPStatus.BAD_REQUEST)
    flash(_("The address of its keys is saved."))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="keys"), 303)


@console.route("/credentials/<client_id>/secrets/end", methods=["GET", "POST"])
@step_up(JUST_NOW)
def end_secrets(client_id: str) -> ResponseReturnValue:
    """Ask before all secrets end, and end them: only keys work then."""
    context, row = console_context(), own(client_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({})
    if Form.is_submitted():
        try:
            credentials.end_secrets(context.accounts, client_id, owner_id=row.owner_id, **context.who)
        except Conflict as error:
            form.add_error("", error_text(error))
        else:
            flash(_("No secret works any more; its keys do."))
            return redirect(url_for("console.credential", client_id=client_id, _anchor="keys"), 303)
    status = HTTPStatus.OK if form.is_valid else HTTPStatus.CONFLICT
    return page("credentials/end_secrets.html", status, row=row, form=form)


def _add_page(client_id: str, form: Form, status: int = 200) -> ResponseReturnValue:
    algorithms = [(value, _(label)) for value, label in ALGORITHMS]
    return page("credentials/add_key.html", status, row=own(client_id), form=form, algorithms=algorithms)
