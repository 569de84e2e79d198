"""Token text -> active or not (RFC 7662 §2.2); only "active" counts as use.

What is answered is what was recorded: a text is a token of ours when its keyed hash is the one in its session row
(INV-33). Three cases have no hash to compare with: a token of the last ε that another node issued, and a row of a
version without hashes, are judged by their signature; everything else is not ours, whoever signed it.

A verdict of "dead" on a token of ours is written before it is answered: a slower node's use must not revive it, nor
a setting that is changed back (INV-05).
"""

import hmac
from collections.abc import Callable
from typing import NamedTuple, Protocol

from authserver.actions.preconditions.calling_resource_server import require_resource_server
from authserver.ports.hot_path import HotPathReads, IntrospectionFacts, TokenKeys
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, Token
from authserver.rules.idle import USE_TOLERANCE, idle_end_of_use
from authserver.rules.lease import lease_seconds
from authserver.rules.lifetime import LONGEST_LIFE
from authserver.rules.liveness import decide
from authserver.rules.presented_secret import PresentedSecret

UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a reason, no secret
FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a reason, no secret
NOT_RECORDED = "not_recorded"


class Presented(Protocol):
    """A text in the form of our tokens, not verified yet."""

    @property
    def keys(self) -> TokenKeys:
        """Which rows it points at."""
        ...

    @property
    def owner_id(self) -> str:
        """The ``sub`` it claims."""
        ...

    @property
    def token_hash(self) -> str:
        """``rules/token_hash`` of the text."""
        ...

    def recorded_start(self) -> SessionStart:
        """What it was issued as, once its hash was found recorded."""
        ...

    def claimed_start(self) -> SessionStart | None:
        """What it claims to have been issued as; None when we make no such claims."""
        ...


Verify = Callable[[], bool]
"""Whether signature and claims of the presented text are ours."""


class Answer(NamedTuple):
    """The verdict: ``idle_expires_at`` is when an active token dies unless it is used before, None for inactive.

    ``reason`` is not for the caller: a ``Reason``, ``UNKNOWN_TOKEN`` for a text that is no token of ours,
    ``NOT_RECORDED`` for one that looks so and was never recorded as issued, or ``FOREIGN_TOKEN`` for one of another
    resource server. ``lease`` is for how many seconds an active answer may be trusted. ``alg`` is what this resource
    server wants signed answers in (RFC 9701 §6).
    """

    audience: str
    alg: str
    now: Instant
    idle_expires_at: Instant | None = None
    reason: str = ""
    lease: int = 0


def introspect(
    who: PresentedSecret,
    token: Presented | None,
    *,
    hot_path: HotPathReads,
    sessions: Sessions,
    usage: UsageRecorder,
    verify: Verify = lambda: False,
    method: str = "",
    route: str = "",
    peer: str = "",
) -> Answer:
    """Judge a token for the resource server it was issued for.

    Args:
        who: the resource server, not authenticated yet.
        token: the presented text, or None for one that no token of ours can look like.
        hot_path: the one statement that reads everything.
        sessions: where a death is written before it is answered.
        usage: where a use is buffered.
        verify: verifies the signature of ``token``; called only where there is no recorded hash to compare with.
        method: the HTTP method of the API that was called, if reported.
        route: the route of the API that was called, if reported.
        peer: the address the resource server asks from.

    Raises:
        InvalidClient: the caller is no resource server.
        Unavailable: the truth cannot be read, or the death not written.
    """
    facts = hot_path.introspection_facts(who.client_id, token.keys if token else None)
    caller = require_resource_server(who, facts.caller)
    now = facts.now

    def dead(reason: str) -> Answer:
        usage.seen_inactive(caller.id, now)
        return Answer(caller.audience, caller.alg, now, None, reason)

    if token is None:
        return dead(UNKNOWN_TOKEN)
    start = _issued_as(token, facts, hot_path=hot_path, usage=usage, verify=verify)
    if isinstance(start, str):
        return dead(start)
    if start.audience != caller.audience:
        return dead(FOREIGN_TOKEN)
    if facts.standing is None:
        return dead(Reason.CREDENTIAL_DELETED)
    recorded = facts.recorded
    record = Token(
        jti=start.jti,
        issued_at=start.issued_at,
        expires_at=start.expires_at,
        last_used_at=max(start.issued_at, usage.last_used(start.jti) or 0, recorded.last_used_at if recorded else 0),
        role_version=start.role_version,
        credential_version=start.credential_version,
        epoch=start.epoch,
        ended=recorded.ended if recorded else None,
    )
    decision = decide(record, now, facts.standing)
    if decision.reason is not None:
        # A later look must not find it alive, whatever was changed back meanwhile (INV-05).
        if record.ended is None:
            sessions.end(start, decision.reason, now)
        return dead(decision.reason)
    usage.used(start, now, by=caller.id, method=method, route=route, peer=peer, recorded=recorded is not None)
    lease = lease_seconds(record, now, facts.standing, caller.max_staleness) if caller.max_staleness else 0
    return Answer(caller.audience, caller.alg, now, idle_end_of_use(now, facts.standing), lease=lease)


def _issued_as(
    token: Presented, facts: IntrospectionFacts, *, hot_path: HotPathReads, usage: UsageRecorder, verify: Verify
) -> SessionStart | str:
    """What this server recorded the text as issued as, or why it is not what this server recorded."""
    recorded = facts.recorded
    # Kept in memory until the row is certainly there, so a token of this process is known by its hash at once.
    expected = (recorded.token_hash if recorded else "") or usage.issued_hash(token.keys.jti)
    proven = bool(expected) and hmac.compare_digest(expected, token.token_hash)
    start = token.recorded_start() if proven else None if expected else token.claimed_start()
    if start is None or not 0 < start.expires_at - start.issued_at <= LONGEST_LIFE:
        return UNKNOWN_TOKEN
    if proven:
        return start
    if recorded is not None and (recorded.token_hash is None or recorded.ended is not None):
        # A row of a version without hashes, or the end of a token: the signature decides whose it is.
        return start if verify() else UNKNOWN_TOKEN
    if facts.now - start.issued_at > USE_TOLERANCE:
        # Looked at before the signature: whoever stole a signing key costs no more than a text of nonsense.
        return NOT_RECORDED
    if not verify():
        return UNKNOWN_TOKEN
    return start if _could_be_issued(start, token.owner_id, hot_path) else NOT_RECORDED


def _could_be_issued(start: SessionStart, owner_id: str, hot_path: HotPathReads) -> bool:
    """Whether the credential can have these roles now: another node may have issued the token within the last ε."""
    facts = hot_path.issue_facts(start.client_id, start.audience)
    return (
        facts is not None
        and facts.owner_id == owner_id
        and facts.audience == start.audience
        and set(start.roles.split()) <= facts.chosen & facts.held
    )
