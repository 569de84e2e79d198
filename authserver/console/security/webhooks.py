"""Security: where events are sent, what became of each delivery, and sending it again.

A secret is shown in the answer to the form that made it, once; the form's key makes sure that sending it again
neither makes nor shows another one (INV-23).
"""

import json
import secrets as dice
from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions.events import webhooks as webhook_actions
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame import query_args
from authserver.console.frame.access import JUST_NOW, RECENT, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form, submit
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _
from authserver.ports.errors import AlreadyDone, Conflict, Invalid
from authserver.ports.events.webhooks import STATES, DeliveryCounts, Webhook
from authserver.rules import permission
from authserver.rules.events.addresses import url_fault
from authserver.rules.events.catalogue import EVENT_TYPES

_ROWS: Final = 50
_TEXTS: Final = {
    "credential.expiring": N_("A credential expires in 30, 7 or 1 days"),
    "credential.expired": N_("A credential has expired"),
    "credential.unused": N_("An unused credential will be disabled, or was"),
    "secret.regenerated": N_("A credential got a new secret"),
    "secret.new_network": N_("A secret was used from a new network"),
    "secret.leaked": N_("A secret or a token was reported as leaked, and ended"),
    "user.role_reduced": N_("A user lost a role, or was disabled"),
    "signing_key.rotated": N_("Another signing key signs from now on"),
    "signing_key.compromised": N_("A signing key was declared compromised"),
    "audit.chain_broken": N_("The chain of audit records does not hold"),
}


@console.get("/security/webhooks")
@requires(permission.SECURITY)
def webhooks() -> ResponseReturnValue:
    """List where events are sent."""
    reads = console_context().store.webhooks
    return page("webhooks/list.html", webhooks=reads.all(), counts=reads.counts(), none=DeliveryCounts())


@console.route("/security/webhooks/new", methods=["GET", "POST"])
@requires(permission.SECURITY)
@step_up(RECENT)
def new_webhook() -> ResponseReturnValue:
    """Let events be sent to a URL, and show its secret once."""
    context = console_context()
    if not Form.is_submitted():
        return _form(Form.initial({"url": "", "description": "", "form_key": dice.token_urlsafe(18)}))
    form = Form.submitted()
    _check(form)
    if not form["form_key"]:
        form.set("form_key", dice.token_urlsafe(18))
        form.add_error("", _("The form came incomplete. Send it again."))
    if not form.is_valid:
        return _form(form)
    try:
        made = webhook_actions.create(
            context.accounts,
            form["url"],
            pepper=context.store.pepper,
            events=form.getlist("events"),
            description=form["description"],
            form_key=form["form_key"],
            **context.who,
        )
    except AlreadyDone as error:
        flash(_("This was made already; its secret was shown then and is not shown again."))
        return redirect(url_for("console.webhook", webhook_id=error.subject), 303)
    except (Conflict, Invalid):
        form.add_error("", _("There are as many webhooks as there may be, or one of the values cannot be."))
        return _form(form)
    return page("webhooks/secret.html", webhook=made.webhook, secret=made.secret, is_new=True)


@console.get("/security/webhooks/<webhook_id>")
@requires(permission.SECURITY)
def webhook(webhook_id: str) -> ResponseReturnValue:
    """Show one webhook and its deliveries, the newest first."""
    reads = console_context().store.webhooks
    found = reads.find(webhook_id)
    state = query_args.one_of("state", STATES)
    before = query_args.text("before")
    place = min(int(before), 2**53) if before.isascii() and before.isdigit() else None
    rows = reads.deliveries(webhook_id, _ROWS + 1, before=place, state=state)
    return page(
        "webhooks/one.html",
        webhook=found,
        counts=reads.counts().get(webhook_id, DeliveryCounts()),
        deliveries=rows[:_ROWS],
        older=query_args.url_with(before=rows[_ROWS - 1].seq) if len(rows) > _ROWS else "",
        state=state,
        url_with=query_args.url_with,
    )


@console.route("/security/webhooks/<webhook_id>/edit", methods=["GET", "POST"])
@requires(permission.SECURITY)
@step_up(RECENT)
def edit_webhook(webhook_id: str) -> ResponseReturnValue:
    """Change where it is sent, what is sent, or what it is called."""
    context = console_context()
    found = context.store.webhooks.find(webhook_id)
    if Form.is_submitted():
        form = Form.submitted()
        _check(form)
    else:
        values = {"url": found.url, "description": found.description, "events": found.events}
        form = Form.initial({**values, "seen": str(found.version)})
    seen = int(form["seen"]) if form["seen"].isascii() and form["seen"].isdigit() else -1
    done = submit(
        form,
        lambda: webhook_actions.edit(
            context.accounts,
            webhook_id,
            url=form["url"],
            events=form.getlist("events"),
            description=form["description"],
            seen=seen,
            **context.who,
        ),
        message=_("Saved."),
        target=_href(found),
        errors=(
            (Conflict, "", _("Somebody else has changed it meanwhile; open it again to see how it is now.")),
            (Invalid, "", _("Nothing was changed, or one of the values cannot be.")),
        ),
    )
    return done or _form(form, found)


@console.route("/security/webhooks/<webhook_id>/rotate", methods=["GET", "POST"])
@requires(permission.SECURITY)
@step_up(JUST_NOW)
def rotate_webhook(webhook_id: str) -> ResponseReturnValue:
    """Make a new secret and show it once."""
    context = console_context()
    found = context.store.webhooks.find(webhook_id)
    spans = _spans()
    form = (
        Form.submitted()
        if Form.is_submitted()
        else Form.initial({"form_key": dice.token_urlsafe(18), "overlap": "86400"})
    )
    if Form.is_submitted():
        if form["overlap"] in {value for value, _label in spans} and form["form_key"]:
            try:
                made = webhook_actions.rotate(
                    context.accounts,
                    webhook_id,
                    int(form["overlap"]),
                    pepper=context.store.pepper,
                    form_key=form["form_key"],
                    **context.who,
                )
            except AlreadyDone:
                flash(_("This was done already; the secret was shown then and is not shown again."))
                return redirect(_href(found), 303)
            return page("webhooks/secret.html", webhook=made.webhook, secret=made.secret, is_new=False)
        form.set("form_key", form["form_key"] or dice.token_urlsafe(18))
        form.add_error("overlap", _("Choose one of the list."))
    return page("webhooks/rotate.html", form.status(), form=form, webhook=found, spans=spans)


@console.route("/security/webhooks/<webhook_id>/delete", methods=["GET", "POST"])
@requires(permission.SECURITY)
@step_up(JUST_NOW)
def delete_webhook(webhook_id: str) -> ResponseReturnValue:
    """Delete it with its deliveries."""
    context, form = console_context(), Form.submitted()
    found = context.store.webhooks.find(webhook_id)
    return submit(
        form,
        lambda: webhook_actions.delete(context.accounts, webhook_id, **context.who),
        message=_("The webhook is deleted."),
        target=url_for("console.webhooks"),
        errors=(),
    ) or page(
        "webhooks/delete.html",
        form.status(),
        form=form,
        webhook=found,
        counts=context.store.webhooks.counts().get(webhook_id, DeliveryCounts()),
    )


@console.post("/security/webhooks/<webhook_id>/disable")
@requires(permission.SECURITY)
@step_up(RECENT)
def disable_webhook(webhook_id: str) -> ResponseReturnValue:
    """Send nothing any more."""
    context = console_context()
    webhook_actions.disable(context.accounts, webhook_id, **context.who)
    flash(_("It is disabled. What is on its way waits; what happens meanwhile is not told."))
    return redirect(url_for("console.webhook", webhook_id=webhook_id), 303)


@console.post("/security/webhooks/<webhook_id>/enable")
@requires(permission.SECURITY)
@step_up(RECENT)
def enable_webhook(webhook_id: str) -> ResponseReturnValue:
    """Send again."""
    context = console_context()
    webhook_actions.enable(context.accounts, webhook_id, **context.who)
    flash(_("It is enabled."))
    return redirect(url_for("console.webhook", webhook_id=webhook_id), 303)


@console.post("/security/webhooks/<webhook_id>/test")
@requires(permission.SECURITY)
def test_webhook(webhook_id: str) -> ResponseReturnValue:
    """Send it a test event."""
    context = console_context()
    webhook_actions.test(context.accounts, webhook_id, **context.who)
    flash(_("A test event is on its way; reload to see what became of it."))
    return redirect(url_for("console.webhook", webhook_id=webhook_id), 303)


@console.post("/security/webhooks/<webhook_id>/replay")
@requires(permission.SECURITY)
def replay_webhook(webhook_id: str) -> ResponseReturnValue:
    """Send everything again that was given up."""
    context = console_context()
    webhook_actions.replay_dead(context.accounts, webhook_id, **context.who)
    flash(_("What was given up is on its way again."))
    return redirect(url_for("console.webhook", webhook_id=webhook_id), 303)


@console.get("/security/webhooks/<webhook_id>/deliveries/<event_id>")
@requires(permission.SECURITY)
def webhook_delivery(webhook_id: str, event_id: str) -> ResponseReturnValue:
    """Show one delivery with its data and its attempts."""
    reads = console_context().store.webhooks
    delivery, attempts = reads.delivery(webhook_id, event_id)
    data = json.dumps(json.loads(delivery.data), indent=2, ensure_ascii=False)
    return page(
        "webhooks/delivery.html", webhook=reads.find(webhook_id), delivery=delivery, attempts=attempts, data=data
    )


@console.post("/security/webhooks/<webhook_id>/deliveries/<event_id>/replay")
@requires(permission.SECURITY)
def replay_webhook_delivery(webhook_id: str, event_id: str) -> ResponseReturnValue:
    """Send one event again."""
    context = console_context()
    webhook_actions.replay(context.accounts, webhook_id, event_id, **context.who)
    flash(_("It is on its way again, with the same webhook-id."))
    return redirect(url_for("console.webhook_delivery", webhook_id=webhook_id, event_id=event_id), 303)


def _form(form: Form, webhook: Webhook | None = None) -> ResponseReturnValue:
    status = form.status(HTTPStatus.BAD_REQUEST)
    types = [(name, name, _(text)) for name, text in _TEXTS.items()]
    return page("webhooks/form.html", status, form=form, types=types, webhook=webhook)


def _check(form: Form) -> None:
    if url_fault(form["url"]):
        form.add_error("url", _("Use an absolute https URL, without user, password and fragment."))
    if not set(form.getlist("events")) <= set(EVENT_TYPES):
        form.add_error("events", _("Choose among those of the list."))


def _spans() -> list[tuple[str, str]]:
    return [
        ("0", _("Now")),
        ("3600", _("In 1 hour")),
        ("86400", _("In 24 hours")),
        ("604800", _("In 7 days")),
    ]


def _href(webhook: Webhook) -> str:
    return url_for("console.webhook", webhook_id=webhook.id)
