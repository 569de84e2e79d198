"""Security: the front page. How keys, credentials, tokens and the chain stand, and what happened lately, as charts."""

from collections.abc import Mapping, Sequence
from typing import Final

from flask.typing import ResponseReturnValue

from authserver.console.blueprint import console
from authserver.console.context import ConsoleContext, console_context
from authserver.console.frame import query_args
from authserver.console.frame.access import requires
from authserver.console.frame.dates import clock, utc_day, zone
from authserver.console.frame.layout import page
from authserver.console.i18n.messages import N_, _, gettext
from authserver.console.security import charts, key_actions
from authserver.console.security.charts import Bar, Columns, Series
from authserver.console.security.signing_keys import timeline
from authserver.ports.console_reads.statistics import EXPIRIES, HOUR, OPEN_CLASS, OTHERS, SECRET_AGES, WAYS, Measure
from authserver.rules import permission
from authserver.rules.credential_status import Status
from authserver.rules.facts import Instant, Reason, Span

_DAY: Final = 24 * HOUR
_RANGES: Final[Mapping[str, tuple[Span, int]]] = {"24h": (HOUR, 24), "30d": (_DAY, 30)}
_MOST: Final = 8
_TOKENS: Final = (
    ("granted", N_("Granted"), "good"),
    ("invalid_client", N_("Client refused"), "bad"),
    ("throttled", N_("Too many failures"), "soon"),
    (charts.OTHER, N_("Other refusals"), "rest"),
)
_INTROSPECTIONS: Final = (
    ("active", N_("Active"), "good"),
    ("inactive", N_("Not active"), "soon"),
    ("invalid_client", N_("API refused"), "bad"),
    (charts.OTHER, N_("Other answers"), "rest"),
)
_WAY_TEXTS: Final[Mapping[str, str]] = {
    "secret": N_("A shared secret alone"),
    "both": N_("A shared secret, and a key or a trust"),
    "key": N_("A key or a trust alone"),
}
_TEXTS: Final[Mapping[str, str]] = {
    Reason.KEY_COMPROMISED: N_("Signing key withdrawn"),
    Reason.EPOCH: N_("Database restored from a backup"),
    Reason.OWNER_DISABLED: N_("Owner deactivated"),
    Reason.CREDENTIAL_DELETED: N_("Credential deleted"),
    Reason.CREDENTIAL_DISABLED: N_("Credential disabled"),
    Reason.REVOKED: N_("Revoked by its client"),
    Reason.ENDED_BY_OWNER: N_("Ended by its owner"),
    Reason.ENDED_BY_OPERATOR: N_("Ended by an operator"),
    Reason.EXPIRED: N_("Reached its end"),
    Reason.CREDENTIAL_EXPIRED: N_("Credential expired"),
    Reason.SECRET_ENDED: N_("Secret ended"),
    Reason.FROM_THE_FUTURE: N_("Clock set back"),
    Reason.ROLES_CHANGED: N_("Roles of its owner changed"),
    Reason.TYP_CHANGED: N_("API takes another type of token"),
    Reason.SESSION_LIMIT: N_("Newer session took its place"),
    Reason.LEAKED: N_("Found where others can read it"),
    Reason.IDLE: N_("Not used for the idle timeout"),
    "unknown_client": N_("Unknown client"),
    "wrong_secret": N_("Wrong secret"),
    "malformed_client_id": N_("Client id of no possible form"),
    "malformed_secret": N_("Secret of no possible form"),
    "malformed_header": N_("Authorization header of no possible form"),
    "no_credentials": N_("Nothing to authenticate by"),
    "unsupported_method": N_("Another way to authenticate"),
    "no_key": N_("Signature where no key is registered"),
    "key_ended": N_("Key that was removed"),
    "network_not_allowed": N_("Network that is not allowed"),
    "rate_limited": N_("More requests than its credential may send"),
    "sessions_full": N_("As many live sessions as its credential may have"),
    "assertion_signature": N_("Signature of no registered key"),
    "assertion_expired": N_("Assertion that was over"),
    "assertion_replayed": N_("Assertion used before"),
}
"""Why tokens ended and why clients were refused, for the security team; other reasons are told as the log has them."""

_LIVE: Final = ((OTHERS, N_("Live tokens"), "main"),)


@console.get("/security")
@requires(permission.SECURITY)
def security() -> ResponseReturnValue:
    """Show at a glance how it stands, and what happened in the last day or month."""
    context = console_context()
    chosen = query_args.one_of("range", set(_RANGES), "24h")
    step, count = _RANGES[chosen]
    slots = charts.slots_until(context.now, step, count)
    return page(
        "security.html",
        counts=context.store.credential_reads.counts(context.now),
        chain=context.store.audit_reads.chain_status(),
        timeline=timeline(context, {}),
        next_rotations=key_actions.next_rotations(context),
        live=context.store.token_reads.all(context.now),
        range=chosen,
        tokens=_columns(context, Measure.TOKEN_REQUESTS, _TOKENS, slots, step),
        introspections=_columns(context, Measure.INTROSPECTIONS, _INTROSPECTIONS, slots, step),
        live_tokens=_columns(context, Measure.LIVE_TOKENS, _LIVE, slots, step),
        failures=_bars(context, Measure.FAILURES, slots[0]),
        sources=_bars(context, Measure.SOURCES, slots[0]),
        ended=_bars(context, Measure.ENDED, slots[0]),
        secret_ages=_classes(context, Measure.SECRET_AGES, SECRET_AGES),
        expiries=_classes(context, Measure.EXPIRIES, EXPIRIES),
        ways=_ways(context),
        secret_owners=_by_label(context, Measure.SECRET_OWNERS),
        secret_apis=_by_label(context, Measure.SECRET_APIS),
        zone_name=getattr(zone(), "key", "UTC"),
        looked_at=context.store.statistics.looked_at(),
        Status=Status,
    )


def _columns(
    context: ConsoleContext,
    measure: Measure,
    kinds: Sequence[tuple[str, str, str]],
    slots: Sequence[Instant],
    step: Span,
) -> Columns:
    numbers = context.store.statistics.by_time(measure, slots[0], step)
    series = [Series(key, gettext(text), look) for key, text, look in kinds]
    return charts.columns(numbers, series, slots, clock if step < _DAY else utc_day)


def _bars(context: ConsoleContext, measure: Measure, since: Instant) -> tuple[Bar, ...]:
    totals = context.store.statistics.totals(measure, since, _MOST)
    return charts.bars([(_label(measure, label), number) for label, number in totals.items()])


def _label(measure: Measure, label: str) -> str:
    if label == OTHERS:
        return _("others")
    text = _TEXTS.get(label) if measure is not Measure.SOURCES else None
    return gettext(text) if text else label


def _ways(context: ConsoleContext) -> tuple[Bar, ...]:
    numbers = context.store.statistics.latest(Measure.WAYS)
    return charts.bars([(gettext(_WAY_TEXTS[name]), numbers.get(name, 0)) for name in WAYS])


def _by_label(context: ConsoleContext, measure: Measure) -> tuple[Bar, ...]:
    numbers = context.store.statistics.latest(measure)
    return charts.bars(sorted(numbers.items(), key=lambda each: (-each[1], each[0])))


def _classes(context: ConsoleContext, measure: Measure, bounds: Sequence[int]) -> tuple[Bar, ...]:
    numbers = context.store.statistics.latest(measure)
    named = [(_("up to %(days)s days", days=days), numbers.get(str(days), 0)) for days in bounds]
    return charts.bars([*named, (_("more than %(days)s days", days=bounds[-1]), numbers.get(OPEN_CLASS, 0))])
