"""Is this token alive?

The questions are asked in the order of ``RULES``; the first "no" is the reason
the owner is told. Switches come before dates and dates before judgement,
because an operator's "off" must never be reported as mere idleness.
"""

from collections.abc import Callable

from authserver.rules.facts import Decision, Instant, Reason, Standing, Token, over
from authserver.rules.idle import unused_too_long
from authserver.rules.role_version import credential_was_switched, restored, roles_changed

Rule = Callable[[Token, Instant, Standing], Reason | None]


def already_ended(token: Token, _now: Instant, _standing: Standing) -> Reason | None:
    """Inactive is final (INV-05): a recorded end is never argued with."""
    return token.ended


def switched_off(_token: Token, _now: Instant, standing: Standing) -> Reason | None:
    """Dead while its key, owner or credential is switched off (INV-08, INV-15)."""
    if not standing.key_usable:
        return Reason.KEY_COMPROMISED
    if standing.owner_disabled:
        return Reason.OWNER_DISABLED
    if standing.credential_deleted:
        return Reason.CREDENTIAL_DELETED
    if standing.credential_disabled:
        return Reason.CREDENTIAL_DISABLED
    return None


def past_its_end(token: Token, now: Instant, standing: Standing) -> Reason | None:
    """Dead at the first of its own, its credential's and its secret's end (INV-07)."""
    if over(now, token.expires_at) or over(now, token.issued_at + standing.max_lifetime):
        return Reason.EXPIRED
    if over(now, standing.credential_expires_at):
        return Reason.CREDENTIAL_EXPIRED
    if standing.secret_ends_at is not None and over(now, standing.secret_ends_at):
        return Reason.SECRET_ENDED
    return None


RULES: tuple[Rule, ...] = (
    already_ended,
    switched_off,
    restored,
    credential_was_switched,
    past_its_end,
    roles_changed,
    unused_too_long,
)


def decide(token: Token, now: Instant, standing: Standing) -> Decision:
    """Ask every rule in order; the first objection is the verdict."""
    for rule in RULES:
        reason = rule(token, now, standing)
        if reason is not None:
            return Decision(reason)
    return Decision()
