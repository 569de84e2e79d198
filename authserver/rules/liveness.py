"""Decides whether a token is active.

The rules are applied in the order of ``RULES``; the first that objects gives the reason
that the owner is told. Switches come before dates and dates before judgement,
because an operator's "off" must never be reported as mere idleness.
"""

from collections.abc import Callable, Mapping
from typing import Final

from authserver.rules.facts import Decision, Instant, Reason, Span, Standing, Token, over
from authserver.rules.idle import unused_too_long
from authserver.rules.role_version import credential_was_switched, restored, roles_changed

CLOCK_SLACK: Span = 5
"""How far a clock may step back before tokens issued after the step are given up."""

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
    if token.issued_at < standing.issued_since:
        return Reason.EXPIRED
    if over(now, standing.credential_expires_at):
        return Reason.CREDENTIAL_EXPIRED
    if standing.secret_ends_at is not None and over(now, standing.secret_ends_at):
        return Reason.SECRET_ENDED
    return None


def from_the_future(token: Token, now: Instant, _standing: Standing) -> Reason | None:
    """Dead when the clock is well before its issue: the clock was set back by an unknown time."""
    if token.issued_at > now + CLOCK_SLACK:
        return Reason.FROM_THE_FUTURE
    return None


RULES: tuple[Rule, ...] = (
    already_ended,
    switched_off,
    restored,
    credential_was_switched,
    from_the_future,
    past_its_end,
    roles_changed,
    unused_too_long,
)


KEPT_ALIVE: Final[Mapping[Reason, str]] = {
    Reason.KEY_COMPROMISED: "Nothing: a key in wrong hands ends every token it signed.",
    Reason.EPOCH: "Nothing: after a restore from a backup no older token can be trusted.",
    Reason.OWNER_DISABLED: "An owner who was not disabled.",
    Reason.CREDENTIAL_DELETED: "The credential, had it not been deleted.",
    Reason.CREDENTIAL_DISABLED: "The credential, had it not been disabled, nor all its sessions ended.",
    Reason.REVOKED: "Its client, by not revoking it.",
    Reason.ENDED_BY_OWNER: "Its owner, by not ending it.",
    Reason.ENDED_BY_OPERATOR: "An operator, by not ending it.",
    Reason.EXPIRED: "Nothing but a longer max_token_lifetime_minutes when it was issued, and no shorter one since.",
    Reason.CREDENTIAL_EXPIRED: "A later expiry of the credential, set before it was over.",
    Reason.SECRET_ENDED: "A longer overlap when the secret was regenerated.",
    Reason.FROM_THE_FUTURE: "A clock that is not set back (NTP).",
    Reason.ROLES_CHANGED: "No change of the owner's roles: each one ends the tokens from before.",
    Reason.IDLE: "One use at any API within each idle_timeout_minutes.",
    Reason.TYP_CHANGED: "The API, had it stayed with the typ of its tokens.",
    Reason.SESSION_LIMIT: "More live sessions in the restrictions of its credential, or a client that asks for fewer.",
    Reason.LEAKED: "Nothing: it was found where others can read it. Its client, by not writing it there.",
}
"""What would have kept a token alive that ended for a reason; told with the reason, and to nobody else."""


def decide(token: Token, now: Instant, standing: Standing) -> Decision:
    """Ask every rule in order; the first objection is the verdict."""
    for rule in RULES:
        reason = rule(token, now, standing)
        if reason is not None:
            return Decision(reason)
    return _ALIVE


_ALIVE = Decision()
