"""List the sessions of a credential with their state, explain one, and end them.

Listing is not use (PRODUCT.md §2.9). A token may be dead before an introspection
sees it, so each session is judged by the same rules as an introspection.
"""

from dataclasses import dataclass

from authserver.audit import Event, Record
from authserver.ports.accounts import Accounts
from authserver.ports.console_reads.audit import AuditReads
from authserver.ports.console_reads.paging import MAX_PAGE
from authserver.ports.credentials import Credential
from authserver.ports.errors import NotFound
from authserver.ports.hot_path import HotPathReads, TokenKeys
from authserver.ports.sessions import Session, Sessions
from authserver.rules.facts import Instant, Reason, Span, Standing
from authserver.rules.idle import idle_end
from authserver.rules.liveness import KEPT_ALIVE, decide


@dataclass(frozen=True, slots=True)
class InspectedSession:
    """A session with its state; ``ended_at`` is None where the instant of an end is not recorded."""

    session: Session
    live: bool
    idle_ends_at: Instant | None
    ended_at: Instant | None
    end_reason: str | None


def inspect_sessions(
    accounts: Accounts,
    sessions: Sessions,
    hot_path: HotPathReads,
    client_id: str,
    *,
    owner_id: str | None = None,
    limit: int | None = None,
    now: Instant = 0,
) -> tuple[InspectedSession, ...]:
    """The recorded sessions of a credential, newest first.

    Args:
        accounts: reads the credential.
        sessions: reads the session rows.
        hot_path: reads the ``Standing`` of a token.
        client_id: the credential.
        owner_id: only this owner's credential.
        limit: the most that may live at ``now``, and the most of the newest others; None for all.
        now: seconds of UTC; needed with ``limit`` only.

    Raises:
        NotFound: no such credential, or not the owner's.
    """
    accounts.credential(client_id, owner_id)
    return inspect_sessions_unchecked(sessions, hot_path, client_id, limit=limit, now=now)


def inspect_sessions_unchecked(
    sessions: Sessions, hot_path: HotPathReads, client_id: str, *, limit: int | None = None, now: Instant = 0
) -> tuple[InspectedSession, ...]:
    """The same without reading the credential, for a caller that has checked its owner in this request."""
    standings: dict[tuple[str, str], tuple[Instant, Standing | None]] = {}
    inspected = []
    rows = sessions.of_credential(client_id) if limit is None else sessions.recent_of_credential(client_id, now, limit)
    for session in rows:
        ids = (session.secret_id, session.kid)
        if ids not in standings:
            facts = hot_path.introspection_facts("", TokenKeys("", client_id, session.secret_id, session.kid))
            standings[ids] = (facts.now, facts.standing)
        inspected.append(_judge(session, *standings[ids]))
    return tuple(inspected)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a token ended: its session, what was changed around its end, and what would have kept it alive.

    ``until`` is the instant from which it was not active, as far as that is on record; ``events`` are the newest first.
    """

    inspected: InspectedSession
    credential: str
    owner: str
    until: Instant | None
    kept_alive: str
    events: tuple[Record, ...]


AROUND: Span = 3600
"""Changes on record that far before and after an end are told with it."""


def explain(
    accounts: Accounts,
    sessions: Sessions,
    hot_path: HotPathReads,
    audit_reads: AuditReads,
    jti: str,
    *,
    owner_id: str | None = None,
) -> Explanation:
    """Tell when and why a token ended, or that it lives; to look at it is no use.

    Raises:
        NotFound: no such session on record, its credential is deleted, or it is not the owner's.
    """
    session = sessions.find(jti)
    if session is None:
        msg = f"there is no session {jti!r} on record"
        raise NotFound(msg)
    credential = accounts.credential(session.client_id, owner_id)
    keys = TokenKeys("", session.client_id, session.secret_id, session.kid)
    facts = hot_path.introspection_facts("", keys)
    inspected = _judge(session, facts.now, facts.standing)
    if inspected.live:
        return Explanation(inspected, credential.name, credential.owner, None, "", ())
    timeline = audit_reads.timeline(session.client_id, MAX_PAGE, owner_id=owner_id).records
    end = inspected.ended_at
    begin = session.issued_at if end is None else end - AROUND
    events = tuple(each for each in timeline if begin <= each.at and (end is None or each.at <= end + AROUND))
    reason = inspected.end_reason or ""
    kept_alive_by = KEPT_ALIVE[Reason(reason)] if reason in set(Reason) else ""
    return Explanation(inspected, credential.name, credential.owner, end, kept_alive_by, events)


def _judge(session: Session, now: Instant, standing: Standing | None) -> InspectedSession:
    if session.ended_at is not None or standing is None:
        reason = session.end_reason or Reason.CREDENTIAL_DELETED.value
        return InspectedSession(session, live=False, idle_ends_at=None, ended_at=session.ended_at, end_reason=reason)
    idle = idle_end(session.token, standing)
    reason_now = decide(session.token, now, standing).reason
    if reason_now is None:
        return InspectedSession(session, live=True, idle_ends_at=idle, ended_at=None, end_reason=None)
    instants = {
        Reason.EXPIRED: min(session.expires_at, session.issued_at + standing.max_lifetime),
        Reason.IDLE: idle,
    }
    if reason_now in instants:
        # An introspection reports the first rule that fails; the owner is shown the end that came first in time.
        reason_now = min(instants, key=lambda each: instants[each])
    ended = instants.get(reason_now, now)
    # A former setting may have ended it before this, at an unknown instant.
    dated = reason_now in instants and ended <= now
    return InspectedSession(
        session,
        live=False,
        idle_ends_at=idle,
        ended_at=ended if dated else None,
        end_reason=reason_now.value,
    )


def end(accounts: Accounts, jti: str, reason: Reason, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """End one session for good; other sessions of the credential stay active.

    Raises:
        NotFound: no live session has that id, or it is not the owner's.
    """
    with accounts.change(Event("session.ended", actor, jti, {"reason": reason.value}), now) as tx:
        if not tx.end_session(jti, reason, now, owner_id):
            msg = f"there is no live session {jti!r}; `flask sessions list CLIENT_ID --live` shows them"
            raise NotFound(msg)


def end_all(
    accounts: Accounts, client_id: str, reason: Reason, *, actor: str, now: Instant, owner_id: str | None = None
) -> tuple[Credential, int]:
    """End every session of a credential, also those not recorded yet; returns the credential and how many had a row.

    A new credential version ends the tokens without a row (INV-05); the credential itself stays enabled.

    Raises:
        NotFound: no such credential, or not the owner's.
    """
    event = Event("credential.sessions_ended", actor, client_id, {"reason": reason.value})
    with accounts.change(event, now) as tx:
        credential = tx.credential(client_id, owner_id)
        ended = tx.end_sessions(client_id, reason, now)
        tx.update_credential(client_id, version=credential.version + 1)
        tx.append_revocation("credential", client_id, now, credential.version + 1)
        tx.detail(recorded=ended)
        return tx.credential(client_id, owner_id), ended
