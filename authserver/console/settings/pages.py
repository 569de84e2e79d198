"""General settings: everybody here may look; who may change them sees first what dies by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from authserver.actions import general_settings
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame.access import RECENT, requires, step_up
from authserver.console.frame.flash import flash
from authserver.console.frame.forms import Form
from authserver.console.frame.layout import page
from authserver.console.frame.request_origin import actor_name
from authserver.console.i18n.messages import N_, _, error_text, gettext, ngettext
from authserver.ports.console_reads.audit import SettingRow
from authserver.ports.errors import Conflict, Invalid, NotFound
from authserver.rules import permission
from authserver.rules.facts import Span
from keys.keyring import State

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class SettingText:
    """A setting in words; ``unit`` is how many seconds its value counts, 0 for a value that is no duration."""

    title: str
    meaning: str
    unit: Span = 0


SETTING_TEXTS: Final = {
    "idle_timeout_minutes": SettingText(
        N_("Idle timeout"),
        N_("A token that no API has asked about for this long is dead, for good. Holds for live tokens at once."),
        _MINUTE,
    ),
    "max_token_lifetime_minutes": SettingText(
        N_("Longest token lifetime"),
        N_("No token lives longer, however busy it is. Holds for live tokens at once."),
        _MINUTE,
    ),
    "max_credential_days": SettingText(
        N_("Longest credential lifetime"),
        N_("How far away the expiry of a credential may lie when it is chosen. Credentials keep what they have."),
        _DAY,
    ),
    "max_credentials_per_user": SettingText(
        N_("Credentials per user"),
        N_("How many live credentials one user may have. Whoever has more keeps them."),
    ),
    "default_audience": SettingText(
        N_("Default audience"),
        N_("The API that tokens are for when a request names none (RFC 8707)."),
    ),
    "token_alg": SettingText(
        N_("Signature algorithm"),
        N_("What tokens are signed with, unless a resource server has its own. A key must be active for it."),
    ),
    "key_rotation_days": SettingText(
        N_("Key rotation"),
        N_("How long a key signs before the next one follows by itself; 0 for never."),
        _DAY,
    ),
    "key_announcement_hours": SettingText(
        N_("Key announcement"),
        N_("How long a key is published before it may sign."),
        _HOUR,
    ),
    "key_patience_hours": SettingText(
        N_("Patience with verifiers"),
        N_("How long a rotation waits for resource servers that have not fetched the new key."),
        _HOUR,
    ),
    "session_retention_days": SettingText(
        N_("Ended sessions"),
        N_("How long a session stays on record behind the end of its token, to tell its owner why it ended."),
        _DAY,
    ),
    "unused_disable_days": SettingText(
        N_("Unused credentials"),
        N_("After how many days without use a credential is disabled; its owner is told 30, 7 and 1 days ahead."),
        _DAY,
    ),
    "secret_notice_days": SettingText(
        N_("Notice of old secrets"),
        N_("After how many days the console asks the owner of a secret to use a key instead; nothing ends by it."),
        _DAY,
    ),
    "old_secret_silent_hours": SettingText(
        N_("Silent old secrets"),
        N_("After how long without use an old secret ends before its overlap does, once the new one is in use."),
        _HOUR,
    ),
    "usage_retention_days": SettingText(
        N_("Usage counts"),
        N_("How long it is kept how often each credential was used at which API."),
        _DAY,
    ),
    "client_secrets_allowed": SettingText(
        N_("Secrets of clients"),
        N_("Off: clients authenticate by a key, and a secret gets no token any more. Tokens from before live on."),
    ),
    "bound_tokens_required": SettingText(
        N_("Tokens bound to a key"),
        N_("On: only who proves a key (DPoP) or has a certificate (mTLS) gets a token, so a copy is worth nothing."),
    ),
    "self_rotation": SettingText(
        N_("Clients rotate their own secret"),
        N_("Whether a client may make a new secret for its own credential by the management API, without a person."),
    ),
    "post_quantum": SettingText(
        N_("Post-quantum algorithms"),
        N_("Whether ML-DSA is offered, which few verifiers know yet."),
    ),
}
_SWITCHES: Final = {"0": N_("off"), "1": N_("on")}
_SWITCHED: Final = frozenset({"post_quantum", "client_secrets_allowed", "bound_tokens_required", "self_rotation"})
_CHOICES: Final = ("default_audience", "token_alg")


@console.get("/settings")
def settings() -> ResponseReturnValue:
    """Show every setting with its meaning, and who changed it when."""
    rows = console_context().store.audit_reads.setting_rows()
    return page(
        "settings/list.html",
        rows=rows,
        actor_name=actor_name,
        setting_text=setting_text,
        format_value=format_value,
        bounds=general_settings.BOUNDS,
    )


@console.get("/settings/<name>")
def setting(name: str) -> ResponseReturnValue:
    """Show one setting with its last changes."""
    reads = console_context().store.audit_reads
    row = _row(name)
    history = reads.setting_history(name)
    return page(
        "settings/one.html",
        row=row,
        history=history,
        actor_name=actor_name,
        setting_text=setting_text,
        format_value=format_value,
        bounds=general_settings.BOUNDS,
    )


@console.route("/settings/<name>/change", methods=["GET", "POST"])
@requires(permission.SETTINGS)
@step_up(RECENT)
def change_setting(name: str) -> ResponseReturnValue:
    """Change a setting. A change that ends tokens is previewed first; a concurrent change is not overwritten."""
    row = _row(name)
    current = "" if row.value is None else str(row.value)
    if not Form.is_submitted():
        return _change_page(row, Form.initial({"value": current, "was": current}))
    form = Form.submitted()
    value = form["value"]
    low, high = general_settings.BOUNDS.get(name, (0, 0))
    if name in general_settings.BOUNDS and not (value.isascii() and value.isdigit() and low <= int(value[:10]) <= high):
        form.add_error("value", _("Type a whole number from %(low)s to %(high)s.", low=low, high=high))
        return _change_page(row, form, HTTPStatus.BAD_REQUEST)
    ending_tokens = _ending_tokens(name, value)
    if ending_tokens and form["seen"] != value:
        return _change_page(row, form, ending_tokens=ending_tokens)
    return _save(row, form, value)


def _save(row: SettingRow, form: Form, value: str) -> ResponseReturnValue:
    context = console_context()
    try:
        general_settings.set_general(context.accounts, row.name, value, was=form["was"], **context.who)
    except general_settings.ChangedMeanwhile as error:
        current = format_value(row.name, error.value)
        form.add_error("value", _("Somebody else has set this to %(value)s meanwhile. Decide again.", value=current))
        form.set("was", error.value)
        return _change_page(_row(row.name), form, HTTPStatus.CONFLICT)
    except Conflict as error:
        same = value == form["was"]
        form.add_error("value", _("It has this value already.") if same else _conflict_text(row.name, error))
        return _change_page(row, form, HTTPStatus.CONFLICT)
    except Invalid as error:
        form.add_error("value", _("Choose one of the list.") if row.name in _CHOICES else error_text(error))
        return _change_page(row, form, HTTPStatus.BAD_REQUEST)
    flash(
        _(
            "%(setting)s is %(value)s now.",
            setting=gettext(setting_text(row.name).title),
            value=format_value(row.name, value),
        )
    )
    return redirect(url_for("console.setting", name=row.name), 303)


def _change_page(row: SettingRow, form: Form, status: int = 200, ending_tokens: int = 0) -> ResponseReturnValue:
    return page(
        "settings/change.html",
        status,
        row=row,
        form=form,
        ending_tokens=ending_tokens,
        choices=_options(row.name),
        setting_text=setting_text,
        format_value=format_value,
        bounds=general_settings.BOUNDS.get(row.name),
    )


def setting_text(name: str) -> SettingText:
    """The label and text of a setting; its bare name where there are none."""
    return SETTING_TEXTS.get(name, SettingText(name, ""))


def format_value(name: str, value: object) -> str:
    """A value as people read it."""
    if name in {"key_rotation_days", "unused_disable_days", "old_secret_silent_hours"} and str(value) == "0":
        return _("never")
    if name in _SWITCHED:
        return gettext(_SWITCHES[str(int(str(value or 0)))])
    if value is None or value == "":
        return _("none")
    unit = setting_text(name).unit
    return duration(int(str(value)) * unit) if unit else str(value)


def duration(seconds: Span) -> str:
    """A time in the units that people say it in: "12 h", "1 h 30 min", "7 days"."""
    days, rest = divmod(seconds, _DAY)
    if days > 1 and not rest:
        return ngettext("%(num)d day", "%(num)d days", days) % {"num": days}
    hours, rest = divmod(seconds, _HOUR)
    minutes = rest // _MINUTE
    words = [_("%(hours)s h", hours=hours)] if hours else []
    words += [_("%(minutes)s min", minutes=minutes)] if minutes or not hours else []
    return " ".join(words)


def _conflict_text(name: str, error: Conflict) -> str:
    if name == "token_alg":
        return _("No key signs that algorithm yet. Make one under Security, Signing keys, first.")
    return error_text(error)


def _ending_tokens(name: str, value: str) -> int:
    if name not in general_settings.ENDS_TOKENS:
        return 0
    context = console_context()
    return context.store.token_reads.ended_by(context.now, **{name: int(value)})


def _options(name: str) -> Sequence[tuple[str, str]]:
    context = console_context()
    if name == "default_audience":
        servers = [server for server in context.accounts.resource_servers() if server.disabled_at is None]
        return [("", _("none")), *((server.audience, f"{server.name}: {server.audience}") for server in servers)]
    if name == "token_alg":
        active = {key.alg for key in context.store.keys.ring() if key.state is State.ACTIVE}
        return [(alg, alg) for alg in sorted(active)]
    if name in _SWITCHED:
        return [(value, gettext(text)) for value, text in _SWITCHES.items()]
    return ()


def _row(name: str) -> SettingRow:
    for row in console_context().store.audit_reads.setting_rows():
        if row.name == name:
            return row
    raise NotFound(name)
