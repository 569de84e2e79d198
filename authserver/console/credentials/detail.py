"""One credential as its owner sees it: secrets, live tokens, use, and all that happened to it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from authserver.actions import sessions as session_actions
from authserver.audit import Record
from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.credentials.certificates import ShownCertificate
from authserver.console.credentials.change import own
from authserver.console.credentials.client_trusts import ShownTrust
from authserver.console.credentials.listing import badges, bars, old_secret
from authserver.console.credentials.snippets import token_url
from authserver.console.frame.dates import on
from authserver.console.frame.flash import flash
from authserver.console.frame.layout import page
from authserver.console.frame.request_origin import actor_of, origin
from authserver.console.i18n.messages import N_, _, gettext, ngettext
from authserver.ports.console_reads.audit import AuditPlace
from authserver.ports.console_reads.credentials import CredentialRow
from authserver.ports.credentials import KeyRecord
from authserver.ports.errors import NotFound
from authserver.rules.client_authentication.restrictions import restrictions_of
from authserver.rules.client_authentication.trust import published_keys_of
from authserver.rules.facts import Reason
from authserver.rules.lifetime import DAY
from keys.public_keys import registered

_USAGE_DAYS: Final = 30
_MAX_SESSIONS: Final = 50
_MAX_SECRETS: Final = 10
_MAX_EVENTS: Final = 25
_NUMBER: Final = re.compile(r"[0-9]{1,15}")

REASONS: Final[Mapping[str, str]] = {
    Reason.KEY_COMPROMISED: N_("Its signing key was withdrawn."),
    Reason.EPOCH: N_("The database was restored from a backup."),
    Reason.OWNER_DISABLED: N_("Your account was disabled."),
    Reason.CREDENTIAL_DELETED: N_("The credential was deleted."),
    Reason.CREDENTIAL_DISABLED: N_("The credential was disabled, or all its sessions were ended."),
    Reason.REVOKED: N_("The client ended it."),
    Reason.ENDED_BY_OWNER: N_("You ended it."),
    Reason.ENDED_BY_OPERATOR: N_("An operator ended it."),
    Reason.EXPIRED: N_("It reached its end."),
    Reason.CREDENTIAL_EXPIRED: N_("The credential expired."),
    Reason.SECRET_ENDED: N_("The secret that obtained it ended."),
    Reason.FROM_THE_FUTURE: N_("The server's clock was set back."),
    Reason.ROLES_CHANGED: N_("Your roles changed."),
    Reason.TYP_CHANGED: N_("The API takes tokens of another type now."),
    Reason.SESSION_LIMIT: N_("A newer session took its place: the credential is held to a number of them."),
    Reason.LEAKED: N_("It was found where others can read it."),
    Reason.IDLE: N_("It was not used for the idle timeout."),
}
"""Why a token ended, as its owner is told."""

OUTCOMES: Final[Mapping[str, str]] = {
    "granted": N_("Granted"),
    "wrong_secret": N_("Wrong secret"),
    "secret_ended": N_("A secret that had ended"),
    "key_ended": N_("A key that had been removed"),
    "network_not_allowed": N_("From a network that it may not be used from"),
    "rate_limited": N_("More requests in a minute than it may send"),
    "sessions_full": N_("As many live sessions as it may have"),
    "invalid_dpop_proof": N_("Without a good proof of the key that its tokens are bound to"),
    "unauthorized_client": N_("A secret where a key is required"),
    "no_key": N_("A signature, and the credential has no key"),
    "assertion_signature": N_("A signature that no key of the credential made"),
    "assertion_audience": N_("An assertion for somebody else: aud is not the issuer"),
    "assertion_expiry": N_("An assertion without an end"),
    "assertion_expired": N_("An assertion that was over"),
    "assertion_too_long": N_("An assertion that lives for more than an hour"),
    "assertion_from_the_future": N_("An assertion from the future: a clock is wrong"),
    "assertion_id": N_("An assertion without an id (jti)"),
    "assertion_replayed": N_("An assertion that was used before"),
    "no_trust": N_("A token of another issuer, and the credential trusts none"),
    "trust_ended": N_("A token of an issuer whose trust had been removed"),
    "no_certificate": N_("A TLS certificate, and the credential has none"),
    "certificate_unknown": N_("A TLS certificate that is none of the credential's"),
    "certificate_untrusted": N_("A TLS certificate with the right name that no known authority issued"),
    "certificate_ended": N_("A TLS certificate that had been removed"),
    "certificate_expired": N_("A TLS certificate that was over"),
    "certificate_not_yet_valid": N_("A TLS certificate that is not valid yet: a clock is wrong"),
    "keys_unavailable": N_("The keys of its issuer could not be fetched"),
    "workload_type": N_("A token of its issuer that is for something else (typ)"),
    "workload_issuer": N_("A token of an issuer that it does not trust"),
    "workload_signature": N_("A token that its issuer did not sign"),
    "workload_audience": N_("A token of its issuer for somebody else (aud)"),
    "workload_condition": N_("A token of its issuer that does not meet the conditions"),
    "workload_expiry": N_("A token of its issuer without an end"),
    "workload_expired": N_("A token of its issuer that was over"),
    "workload_too_long": N_("A token of its issuer that lives for more than a day"),
    "workload_from_the_future": N_("A token of its issuer from the future: a clock is wrong"),
    "workload_id": N_("A token of its issuer without an id (jti)"),
    "workload_replayed": N_("A token of its issuer that was used before"),
    "credential_disabled": N_("The credential was disabled"),
    "credential_expired": N_("The credential had expired"),
    "credential_deleted": N_("The credential was deleted"),
    "owner_disabled": N_("Your account was disabled"),
    "invalid_scope": N_("A role that it does not have"),
    "invalid_target": N_("An API that is not registered"),
}
"""How token requests went."""

_OVERLAP_TEXTS: Final[Mapping[int, str]] = {
    0: N_("The old secret ended at once."),
    3600: N_("The old secret works for 1 more hour."),
    86400: N_("The old secret works for 24 more hours."),
    604800: N_("The old secret works for 7 more days."),
}

_EVENT_TITLES: Final[Mapping[str, str]] = {
    "credential.created": N_("Created"),
    "credential.edited": N_("Edited"),
    "credential.regenerated": N_("New secret generated"),
    "credential.key_added": N_("A key was added"),
    "credential.key_removed": N_("A key was removed"),
    "credential.trust_added": N_("A trust in an issuer was added"),
    "credential.trust_removed": N_("A trust in an issuer was removed"),
    "credential.certificate_added": N_("A TLS certificate was added"),
    "credential.certificate_removed": N_("A TLS certificate was removed"),
    "credential.keys_published": N_("The address of its keys was set"),
    "credential.keys_withdrawn": N_("The address of its keys was removed"),
    "credential.restricted": N_("Restrictions changed"),
    "credential.secrets_ended": N_("All secrets ended"),
    "credential.old_secret_moved": N_("End of the old secret changed"),
    "credential.leak_reported": N_("A secret was reported as leaked, and ended"),
    "credential.token_leak_reported": N_("A token was reported as leaked, and ended"),
    "credential.disabled": N_("Disabled"),
    "credential.enabled": N_("Enabled"),
    "credential.sessions_ended": N_("All sessions ended"),
    "credential.deleted": N_("Deleted"),
    "session.ended": N_("A session ended"),
    "user.role_granted": N_("A role was assigned to you"),
    "user.role_revoked": N_("A role was removed from you"),
    "user.disabled": N_("Your account was disabled"),
    "user.enabled": N_("Your account was enabled"),
    "role.deleted": N_("A role was deleted"),
    "token.refused": N_("A token request was refused"),
}


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of the time line: what, when, by whom, from where, and what changed."""

    at: int
    title: str
    actor: str
    origin: str
    details: tuple[Markup, ...]


class ShownKey:
    """A public key as the page shows it."""

    def __init__(self, record: KeyRecord) -> None:
        known = registered(record.public_jwk)
        self.record, self.thumbprint, self.alg = record, known.thumbprint, known.alg
        self.live = record.ends_at is None


@console.get("/credentials/<client_id>")
def credential(client_id: str) -> ResponseReturnValue:
    """Show all there is to know."""
    context, row = console_context(), own(client_id)
    since = context.now - context.now % DAY - (_USAGE_DAYS - 1) * DAY
    reads = context.store.credential_reads
    inspected = session_actions.inspect_sessions_unchecked(
        context.store.sessions, context.store.hot_path, client_id, limit=_MAX_SESSIONS, now=context.now
    )
    after = _timeline_position(request.args.get("before", ""))
    timeline = context.store.audit_reads.timeline(client_id, _MAX_EVENTS, after, owner_id=row.owner_id)
    whole, general = context.accounts.credential(client_id, row.owner_id), context.accounts.general()
    return page(
        "credentials/detail.html",
        row=row,
        badges=badges(row),
        bars=bars,
        token_url=token_url(),
        secrets=reads.secrets(client_id)[:_MAX_SECRETS],
        old_secret=context.store.old_secrets.of_credential(client_id, context.now),
        restricted=_restricted(whole.restrictions),
        keys=[ShownKey(each) for each in reads.keys(client_id)[:_MAX_SECRETS]],
        trusts=[ShownTrust(each) for each in whole.trusts[:_MAX_SECRETS]],
        certificates=[ShownCertificate(each) for each in whole.certificates[:_MAX_SECRETS]],
        key_addresses=[published_keys_of(each.text) for each in whole.key_addresses if each.ends_at is None],
        live=[each for each in inspected if each.live],
        ended=[each for each in inspected if not each.live],
        reason=_reason,
        outcomes=_outcomes(reads.refusals(client_id, since)),
        usage=reads.usage(client_id, since),
        unused=context.store.token_reads.unused(context.now, client_id),
        timeline_entries=[_timeline_entry(record) for record in timeline.records],
        older=f"{timeline.after.at}-{timeline.after.seq}" if timeline.after else "",
        lost_roles=_lost_roles(row, timeline.records),
        idle_minutes=general.idle_timeout_minutes,
        secret_age=old_secret(row, general.secret_notice_days),
    )


@console.post("/credentials/<client_id>/sessions/end")
def end_sessions(client_id: str) -> ResponseReturnValue:
    """End one session, or all: the field ``session`` holds its id or ``all``."""
    context, row, jti = console_context(), own(client_id), request.form.get("session", "")
    if jti == "all":
        _same, ended = session_actions.end_all(
            context.accounts, client_id, Reason.ENDED_BY_OWNER, owner_id=row.owner_id, **context.who
        )
        text = ngettext("%(num)d session is ended.", "%(num)d sessions are ended.", ended)
        flash(text % {"num": ended})
    else:
        try:
            session_actions.end(context.accounts, jti, Reason.ENDED_BY_OWNER, owner_id=row.owner_id, **context.who)
            flash(_("That session is ended. The others live on."))
        except NotFound:
            flash(_("That session had ended already."))
    return redirect(url_for("console.credential", client_id=client_id, _anchor="sessions"), 303)


def _restricted(text: str | None) -> list[str]:
    """What the credential is held to, a line each."""
    try:
        found = restrictions_of(text)
    except ValueError:
        return [_("Written by a newer version, so it gets no tokens from this one")]
    lines = [_("Only from %(networks)s", networks=", ".join(map(str, found.networks)))] if found.networks else []
    if found.audiences:
        lines.append(_("Only for %(apis)s", apis=", ".join(sorted(found.audiences))))
    if found.lifetime:
        minutes = found.lifetime // 60
        sentence = ngettext("Tokens live for %(num)d minute", "Tokens live for %(num)d minutes", minutes)
        lines.append(sentence % {"num": minutes})
    if found.sessions:
        sentence = ngettext("%(num)d live session at most", "%(num)d live sessions at most", found.sessions)
        full = _("the oldest ends") if found.end_oldest else _("one more is refused")
        lines.append(f"{sentence % {'num': found.sessions}}: {full}")
    if found.rate:
        sentence = ngettext("%(num)d token request a minute", "%(num)d token requests a minute", found.rate)
        lines.append(sentence % {"num": found.rate})
    if found.bound:
        lines.append(_("Tokens must be bound to a key (DPoP) or a certificate (mTLS)"))
    return lines


def _reason(name: str | None) -> str:
    """Why a token ended, in words; a name that is not known stands for itself."""
    return gettext(REASONS.get(name or "", name or ""))


def _outcomes(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    """How requests went in words, the most frequent refusal first behind what was granted."""
    order = sorted(counted.items(), key=lambda each: (each[0] != "granted", -each[1], each[0]))
    return [(gettext(OUTCOMES[name]) if name in OUTCOMES else name, count) for name, count in order if count]


def _lost_roles(row: CredentialRow, records: Sequence[Record]) -> list[tuple[str, int | None]]:
    """Roles that are gone from the owner, each with when, as far as the time line shown knows."""
    found: dict[str, int] = {}
    for record in records:
        if record.event == "user.role_revoked":
            found.setdefault(str(json.loads(record.detail).get("role", "")), record.at)
        elif record.event == "role.deleted":
            found.setdefault(record.target, record.at)
    return [(name, found.get(name)) for name in row.lost]


def _timeline_entry(record: Record) -> TimelineEntry:
    title = gettext(_EVENT_TITLES[record.event]) if record.event in _EVENT_TITLES else record.event
    return TimelineEntry(record.at, title, actor_of(record), origin(record), tuple(_details(record)))


def _details(record: Record) -> list[Markup]:
    """What changed, as far as there is something to say about it."""
    detail: dict[str, Any] = json.loads(record.detail)
    match record.event:
        case "credential.edited":
            before, after = detail["before"], detail["after"]
            return [
                Markup("{}: {} → {}").format(label, render(before[key]), render(after[key]))
                for key, label, render in (("name", _("Name"), escape), ("expires_at", _("Expires"), on))
                if key in after
            ]
        case "credential.created":
            ends = Markup("{}: {}").format(_("Expires"), on(detail["expires_at"]))
            roles = Markup("{}: {}").format(_("Roles"), ", ".join(detail.get("roles", ())))
            return [ends, roles]
        case "credential.regenerated":
            return _if_known(_OVERLAP_TEXTS.get(detail.get("overlap_seconds", -1)))
        case "credential.old_secret_moved":
            return [Markup("{} → {}").format(on(detail["before"]), on(detail["after"]))]
        case "user.role_granted" | "user.role_revoked" | "role.deleted":
            return [escape(record.target if record.event == "role.deleted" else detail.get("role", ""))]
        case _:
            texts = OUTCOMES if record.event == "token.refused" else REASONS
            named = ("key",) if record.event.startswith("credential.key_") else ("issuer", "jwks_uri", "value")
            of_what = next((detail[name] for name in named if detail.get(name)), "")
            return [escape(of_what)] if of_what else _if_known(texts.get(detail.get("reason", "")))


def _if_known(text: str | None) -> list[Markup]:
    return [escape(gettext(text))] if text else []


def _timeline_position(text: str) -> AuditPlace | None:
    """Where an older part of the time line begins; anything else than a place shows its beginning."""
    at, _dash, seq = text.partition("-")
    return AuditPlace(int(at), int(seq)) if all(map(_NUMBER.fullmatch, (at, seq))) else None
