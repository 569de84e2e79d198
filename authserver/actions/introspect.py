"""Token text -> alive or not (RFC 7662 §2.2); only "active" counts as use.

A verdict of "dead" on a token of ours is written down before it is told: a
slower node's use must not revive it, nor a setting that is changed back (INV-05).
"""

import hashlib
import hmac
from typing import NamedTuple

from authserver.ports.errors import InvalidClient
from authserver.ports.hot_path import HotPathReads, TokenKeys
from authserver.ports.sessions import Sessions
from authserver.ports.usage import UsageRecorder
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, Token
from authserver.rules.idle import idle_end_of_use
from authserver.rules.lifetime import LONGEST_LIFE
from authserver.rules.liveness import decide
from authserver.rules.presented_secret import PresentedSecret

UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a reason, no secret
FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a reason, no secret
_NO_HASH = hashlib.sha256(b"nobody").digest()


class Answer(NamedTuple):
    """The verdict: ``idle_expires_at`` is when an active token dies unless it is used before, None for inactive.

    ``reason`` is not for the caller: a ``Reason``, ``UNKNOWN_TOKEN`` for a text that is
    no token of ours, or ``FOREIGN_TOKEN`` for one of another resource server. ``alg``
    is what this resource server wants signed answers in (RFC 9701 §6).
    """

    audience: str
    alg: str
    now: Instant
    idle_expires_at: Instant | None = None
    reason: str = ""


def introspect(
    who: PresentedSecret,
    start: SessionStart | None,
    *,
    hot_path: HotPathReads,
    sessions: Sessions,
    usage: UsageRecorder,
    method: str = "",
    route: str = "",
    peer: str = "",
) -> Answer:
    """Judge a token for the resource server it was issued for.

    Args:
        who: the resource server, unproven.
        start: what a verified token was issued as, or None for a text that is no token of ours.
        hot_path: the one statement that reads everything.
        sessions: where a death is written before it is told.
        usage: where a use is noted.
        method: the HTTP method of the API that was called, if reported.
        route: the route of the API that was called, if reported.
        peer: the address the resource server asks from.

    Raises:
        InvalidClient: the caller is no resource server.
        Unavailable: the truth cannot be read, or the death not written.
    """
    keys = TokenKeys(start.jti, start.client_id, start.secret_id, start.kid) if start else None
    facts = hot_path.introspection_facts(who.client_id, keys)
    caller = facts.caller
    right = hmac.compare_digest(caller.secret_hash if caller else _NO_HASH, who.secret_hash)
    if caller is None or not right or caller.disabled:
        raise InvalidClient("unknown_client" if caller is None else "credential_disabled" if right else "wrong_secret")
    now = facts.now

    def dead(reason: str) -> Answer:
        usage.seen_inactive(caller.id, now)
        return Answer(caller.audience, caller.alg, now, None, reason)

    if start is None or not 0 < start.expires_at - start.issued_at <= LONGEST_LIFE:
        return dead(UNKNOWN_TOKEN)
    if start.audience != caller.audience:
        return dead(FOREIGN_TOKEN)
    if facts.standing is None:
        return dead(Reason.CREDENTIAL_DELETED)
    noted = usage.last_used(start.jti) or 0
    known = facts.recorded
    record = Token(
        jti=start.jti,
        issued_at=start.issued_at,
        expires_at=start.expires_at,
        last_used_at=max(start.issued_at, noted, known.last_used_at if known else 0),
        role_version=start.role_version,
        credential_version=start.credential_version,
        epoch=start.epoch,
        ended=known.ended if known else None,
    )
    decision = decide(record, now, facts.standing)
    if decision.reason is not None:
        # A later look must not find it alive, whatever was changed back meanwhile (INV-05).
        if record.ended is None:
            sessions.end(start, decision.reason, now)
        return dead(decision.reason)
    usage.used(start, now, by=caller.id, method=method, route=route, peer=peer)
    return Answer(caller.audience, caller.alg, now, idle_end_of_use(now, facts.standing))
