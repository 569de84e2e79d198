"""Which TLS certificates stand for a credential of one's own (mTLS, RFC 8705): add one or a name, remove it."""

from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions.client_authentication import certificates
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
from authserver.rules.client_authentication.certificate import THUMBPRINT, CertificateCondition, condition_of

_FIELDS: Final = ("certificate", "name", "value")

_NAMES: Final = (
    ("", N_("Only the certificate that is pasted above")),
    ("subject_dn", N_("Subject")),
    ("san_dns", N_("DNS name")),
    ("san_uri", N_("URI")),
    ("san_ip", N_("IP address")),
    ("san_email", N_("E-mail address")),
)

# What a certificate may be refused for, so that it is translated; see keys/certificates.
REFUSALS: Final = (
    N_("paste one certificate, as PEM or as JWK with x5c, of 16384 characters at most"),
    N_("this holds a private key, which must never leave the client: paste its certificate alone"),
    N_("it is not one certificate in PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"),
    N_("it is no X.509 certificate that can be read"),
    N_("the certificate is over; make a new one"),
    N_("the credential has that certificate or name already"),
    N_("a DNS name is one host without a wildcard, such as payroll.example.com"),
    N_("a URI is one as the certificate has it, such as spiffe://example.org/payroll"),
    N_("an IP address is one address, such as 192.0.2.7 or 2001:db8::7"),
    N_("an e-mail address is one such as payroll@example.com"),
    N_("paste a certificate, or choose a name and give its value"),
)


class ShownCertificate:
    """A condition as the page shows it."""

    def __init__(self, record: TrustRecord) -> None:
        self.record, self.live = record, record.ends_at is None
        try:
            self.condition = condition_of(record.text)
        except ValueError:
            self.condition = CertificateCondition(
                "", _("Written by a newer version, so it gets no tokens from this one")
            )

    @property
    def is_one(self) -> bool:
        """Whether it is one certificate, and not a name."""
        return self.condition.name == THUMBPRINT


@console.route("/credentials/<client_id>/certificates/add", methods=["GET", "POST"])
@step_up(JUST_NOW)
def add_certificate(client_id: str) -> ResponseReturnValue:
    """Ask which certificates stand for the credential, and add the condition."""
    context, row = console_context(), own(client_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial(dict.fromkeys(_FIELDS, ""))
    if Form.is_submitted():
        try:
            wanted = _wanted(form, context.now)
            certificates.add(context.accounts, client_id, wanted, owner_id=row.owner_id, **context.who)
        except (Conflict, Invalid) as error:
            form.add_error("", error_text(error))
            if "PRIVATE" in form["certificate"] or '"d"' in form["certificate"]:
                form.set("certificate", "")  # it is not given back, nor kept
        else:
            flash(_("The certificate is added. Compare what it says with your own: %(value)s", value=wanted.value))
            return redirect(url_for("console.credential", client_id=client_id, _anchor="certificates"), 303)
    status = HTTPStatus.OK if form.is_valid else HTTPStatus.BAD_REQUEST
    names = [(value, _(label)) for value, label in _NAMES]
    return page("credentials/add_certificate.html", status, row=row, form=form, names=names)


@console.route("/credentials/<client_id>/certificates/<certificate_id>/remove", methods=["GET", "POST"])
@step_up(JUST_NOW)
def remove_certificate(client_id: str, certificate_id: str) -> ResponseReturnValue:
    """Ask before a condition ends with its tokens, and end it."""
    context, row = console_context(), own(client_id)
    if not Form.is_submitted():
        return page("credentials/remove_certificate.html", row=row, certificate_id=certificate_id)
    try:
        certificates.remove(context.accounts, client_id, certificate_id, owner_id=row.owner_id, **context.who)
        flash(_("The certificate is removed, and its tokens are dead."))
    except NotFound:
        flash(_("That certificate had been removed already."))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="certificates"), 303)


def _wanted(form: Form, now: int) -> CertificateCondition:
    """What was pasted or typed; one of both.

    Raises:
        Invalid: the text says what to write instead.
    """
    if bool(form["certificate"].strip()) == bool(form["name"]):
        msg = "paste a certificate, or choose a name and give its value"
        raise Invalid(msg)
    if form["name"]:
        return certificates.named(form["name"], form["value"])
    return certificates.registered(form["certificate"], now)
