"""Resource servers: register an API, renew its secret, choose its algorithm, switch it off and on.

A secret is shown in the answer to the form that made it, once; the form's key
makes sure that sending it again neither makes nor shows another one (INV-23).
"""

import secrets as dice
from http import HTTPStatus

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import resource_servers as resource_server_actions
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.access import JUST_NOW, RECENT, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form, submit
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import _, error_text
from authserver.console.resource_servers.traffic import hour_without, mode, snippets
from authserver.ports.errors import AlreadyDone, Conflict, Invalid, NotFound
from authserver.ports.resource_servers import TOKEN_TYPES, ResourceServer
from authserver.rules import permission
from authserver.rules.client_authentication.policy import BOUND, KEY
from authserver.rules.names import audience_fault, display_name_fault
from keys.keyring import State


@console.get("/resource-servers")
@requires(permission.RESOURCE_SERVERS)
def resource_servers() -> ResponseReturnValue:
    """List the registered APIs."""
    context = console_context()
    return page(
        "resource_servers/list.html",
        servers=context.accounts.resource_servers(),
        live=context.store.token_reads.by_audience(context.now),
        general=context.accounts.general(),
    )


@console.route("/resource-servers/new", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def new_resource_server() -> ResponseReturnValue:
    """Register an API and show its secret once."""
    context = console_context()
    if not Form.is_submitted():
        blank = {"name": "", "audience": "", "alg": "", "typ": TOKEN_TYPES[0], "form_key": dice.token_urlsafe(18)}
        return _new(Form.initial(blank))
    form = Form.submitted()
    if display_name_fault(form["name"]):
        form.add_error("name", _("Use 1 to 100 visible characters on one line."))
    if audience_fault(form["audience"]):
        form.add_error("audience", _("Use an absolute URI such as https://api.example.com, without a fragment."))
    if not form["form_key"]:
        form.set("form_key", dice.token_urlsafe(18))
        form.add_error("", _("The form came incomplete. Send it again."))
    if not form.is_valid:
        return _new(form, HTTPStatus.BAD_REQUEST)
    try:
        made = resource_server_actions.register_resource_server(
            context.accounts,
            form["name"],
            form["audience"],
            pepper=context.store.pepper,
            token_alg=form["alg"] or None,
            token_typ=form["typ"] or TOKEN_TYPES[0],
            form_key=form["form_key"],
            **context.who,
        )
    except AlreadyDone as error:
        flash(_("This was registered already; its secret was shown then and is not shown again."))
        return redirect(url_for("console.resource_server", server_id=error.subject), 303)
    except Conflict:
        _name_conflict(form)
        return _new(form, HTTPStatus.CONFLICT)
    except Invalid:
        form.add_error("alg" if form["typ"] in {"", *TOKEN_TYPES} else "typ", _("Choose one of the list."))
        return _new(form, HTTPStatus.BAD_REQUEST)
    return page("resource_servers/secret.html", server=made.server, secret=made.secret, is_new=True)


@console.get("/resource-servers/<server_id>")
@requires(permission.RESOURCE_SERVERS)
def resource_server(server_id: str) -> ResponseReturnValue:
    """Show one API."""
    context = console_context()
    server = _server(server_id)
    live = context.store.token_reads.by_audience(context.now, server.audience)[server.audience]
    activity, general = context.store.feed_fetches.activity(server.id, context.now), context.accounts.general()
    kind = mode(server, activity, context.now)
    return page(
        "resource_servers/one.html",
        server=server,
        live=live,
        general=general,
        activity=activity,
        mode=kind,
        hour=hour_without(kind, server, activity, general.idle_timeout_minutes),
        snippets=snippets(server, context.services.issuer, kind),
        streams=context.store.event_streams.of_server(server.id),
        newest=context.store.event_streams.newest(),
        requirements=dict(_requirements())[" ".join(server.requires)],
    )


@console.route("/resource-servers/<server_id>/regenerate", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(JUST_NOW)
def regenerate_resource_server(server_id: str) -> ResponseReturnValue:
    """Make a new secret and show it once; the old one ends now, so the name is typed first."""
    context = console_context()
    server = _server(server_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"form_key": dice.token_urlsafe(18)})
    if Form.is_submitted() and form["confirm"] == server.name and form["form_key"]:
        try:
            made = resource_server_actions.regenerate_resource_server(
                context.accounts, server.name, pepper=context.store.pepper, form_key=form["form_key"], **context.who
            )
        except AlreadyDone:
            flash(_("This was done already; the secret was shown then and is not shown again."))
            return redirect(_href(server), 303)
        return page("resource_servers/secret.html", server=made.server, secret=made.secret, is_new=False)
    if Form.is_submitted():
        form.set("form_key", form["form_key"] or dice.token_urlsafe(18))
        form.add_error("confirm", _("Type the name exactly as it is shown."))
    return page("resource_servers/regenerate.html", form.status(), form=form, server=server)


@console.route("/resource-servers/<server_id>/algorithm", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def resource_server_algorithm(server_id: str) -> ResponseReturnValue:
    """Choose what its tokens are signed with."""
    context = console_context()
    server = _server(server_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"alg": server.token_alg or ""})
    alg = form["alg"] or None
    same = alg == server.token_alg
    return submit(
        form,
        lambda: resource_server_actions.edit_resource_server(context.accounts, server.name, alg, **context.who),
        message=_("Saved. Tokens from before stay good."),
        target=_href(server),
        errors=(
            (Conflict, "alg", _("It has this value already.") if same else _("No key signs that algorithm yet.")),
            (Invalid, "alg", _("Choose one of the list.")),
        ),
    ) or page("resource_servers/algorithm.html", form.status(), form=form, server=server, algorithms=_algorithms())


@console.route("/resource-servers/<server_id>/staleness", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def resource_server_staleness(server_id: str) -> ResponseReturnValue:
    """Choose for how long it may trust an answer of introspection."""
    context = console_context()
    server = _server(server_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"seconds": str(server.max_staleness)})
    most, text = resource_server_actions.MAX_STALENESS, form["seconds"]
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    seconds = int(text) if is_number else most + 1
    return submit(
        form,
        lambda: resource_server_actions.bound_staleness(context.accounts, server.name, seconds, **context.who),
        message=_("Saved. It holds from the next answer on."),
        target=_href(server),
        errors=(
            (Conflict, "seconds", _("It has this value already.")),
            (Invalid, "seconds", _("Type a whole number from %(low)s to %(high)s.", low=0, high=most)),
        ),
    ) or page("resource_servers/staleness.html", form.status(), form=form, server=server)


@console.route("/resource-servers/<server_id>/token-type", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def resource_server_token_type(server_id: str) -> ResponseReturnValue:
    """Choose the ``typ`` of its tokens; those of before end, so their number is shown."""
    context = console_context()
    server = _server(server_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"typ": server.token_typ})
    done = submit(
        form,
        lambda: resource_server_actions.choose_token_typ(context.accounts, server.name, form["typ"], **context.who),
        message=_("Saved. It holds for tokens from now on."),
        target=_href(server),
        errors=(
            (Conflict, "typ", _("It has this value already.")),
            (Invalid, "typ", _("Choose one of the list.")),
        ),
    )
    if done:
        return done
    live = context.store.token_reads.by_audience(context.now, server.audience)[server.audience]
    status = form.status()
    return page("resource_servers/token_type.html", status, form=form, server=server, types=_types(), live=live)


@console.route("/resource-servers/<server_id>/requirements", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def resource_server_requirements(server_id: str) -> ResponseReturnValue:
    """Choose what token requests for it must meet; tokens of before live on."""
    context = console_context()
    server = _server(server_id)
    form = Form.submitted() if Form.is_submitted() else Form.initial({"requires": " ".join(server.requires)})
    chosen = form["requires"].split()
    return submit(
        form,
        lambda: resource_server_actions.require_of_tokens(context.accounts, server.name, chosen, **context.who),
        message=_("Saved. It holds for tokens from now on."),
        target=_href(server),
        errors=(
            (Conflict, "requires", _("It has this value already.")),
            (Invalid, "requires", _("Choose one of the list.")),
        ),
    ) or page("resource_servers/requirements.html", form.status(), form=form, server=server, choices=_requirements())


def _requirements() -> list[tuple[str, str]]:
    return [
        ("", _("nothing more")),
        (KEY, _("the client proves itself by a key, not a secret")),
        (BOUND, _("the token is bound to a key (DPoP) or a certificate (mTLS)")),
        (f"{KEY} {BOUND}", _("both: proof by a key, and a bound token")),
    ]


@console.route("/resource-servers/<server_id>/disable", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(JUST_NOW)
def disable_resource_server(server_id: str) -> ResponseReturnValue:
    """Show how many live tokens it would leave without an answer, then switch it off."""
    context = console_context()
    server, form = _server(server_id), Form.submitted()
    done = submit(
        form,
        lambda: resource_server_actions.disable_resource_server(context.accounts, server.name, **context.who),
        message=_("%(name)s is disabled.", name=server.name),
        target=_href(server),
        errors=((Conflict, "", _("%(name)s is disabled already.", name=server.name)),),
    )
    if done:
        return done
    live = context.store.token_reads.by_audience(context.now, server.audience)[server.audience]
    return page("resource_servers/disable.html", form.status(), form=form, server=server, live=live)


@console.route("/resource-servers/<server_id>/enable", methods=["GET", "POST"])
@requires(permission.RESOURCE_SERVERS)
@step_up(RECENT)
def enable_resource_server(server_id: str) -> ResponseReturnValue:
    """Switch it on again."""
    context = console_context()
    server, form = _server(server_id), Form.submitted()
    already = _("%(name)s is enabled already.", name=server.name) if server.disabled_at is None else ""
    return submit(
        form,
        lambda: resource_server_actions.enable_resource_server(context.accounts, server.name, **context.who),
        message=_("%(name)s is enabled.", name=server.name),
        target=_href(server),
        errors=((Conflict, "", already or error_text),),
    ) or page("resource_servers/enable.html", form.status(), form=form, server=server)


def _name_conflict(form: Form) -> None:
    """Say which field it was: the name, the audience, or an algorithm without a key."""
    servers = console_context().accounts.resource_servers()
    if any(server.name == form["name"] for server in servers):
        form.add_error("name", _("There is a resource server of that name already."))
    if any(server.audience == form["audience"] for server in servers):
        form.add_error("audience", _("There is a resource server for that audience already."))
    if form.is_valid:
        form.add_error("alg", _("No key signs that algorithm yet."))


def _new(form: Form, status: int = 200) -> ResponseReturnValue:
    return page("resource_servers/new.html", status, form=form, algorithms=_algorithms(), types=_types())


def _types() -> list[tuple[str, str]]:
    return [(TOKEN_TYPES[0], _("at+jwt (RFC 9068)")), (TOKEN_TYPES[1], _("JWT, for verifiers that refuse at+jwt"))]


def _algorithms() -> list[tuple[str, str]]:
    context = console_context()
    active = sorted({key.alg for key in context.store.keys.ring() if key.state is State.ACTIVE})
    general = _("General setting (%(alg)s)", alg=context.accounts.general().token_alg)
    return [("", general), *((alg, alg) for alg in active)]


def _server(server_id: str) -> ResourceServer:
    for server in console_context().accounts.resource_servers():
        if server.id == server_id:
            return server
    raise NotFound(server_id)


def _href(server: ResourceServer) -> str:
    return url_for("console.resource_server", server_id=server.id)
