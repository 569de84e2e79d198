"""Look at the sessions of a credential, and end them.

Looking is not use (PRODUCT.md §2.9). A token may be dead before anybody asked
about it, so each session is judged by the same rules as an introspection.
"""

from dataclasses import dataclass

from authserver.audit import Event
from authserver.ports.accounts import Accounts
from authserver.ports.credentials import Credential
from authserver.ports.errors import NotFound
from authserver.ports.hot_path import HotPathReads, TokenKeys
from authserver.ports.sessions import Session, Sessions
from authserver.rules.facts import Instant, Reason, Standing, Token
from authserver.rules.idle import idle_end
from authserver.rules.liveness import decide


@dataclass(frozen=True, slots=True)
class InspectedSession:
    """A session with its verdict; ``ended_at`` is None where a death has no recorded instant."""

    session: Session
    live: bool
    idle_ends_at: Instant | None
    ended_at: Instant | None
    end_reason: str | None


def inspect_session(
    accounts: Accounts,
    sessions: Sessions,
    hot_path: HotPathReads,
    client_id: str,
    *,
    owner_id: str | None = None,
    limit: int | None = None,
    now: Instant = 0,
) -> tuple[InspectedSession, ...]:
    """The kept sessions of a credential, newest first.

    Args:
        accounts: where the credential is.
        sessions: the record of each token.
        hot_path: how things stand around a token.
        client_id: whose sessions.
        owner_id: only this owner's credential.
        limit: so many that may live at ``now``, and so many of the newest others; None for all.
        now: needed with ``limit`` only.

    Raises:
        NotFound: no such credential, or not the owner's.
    """
    accounts.credential(client_id, owner_id)
    return inspect_known_session(sessions, hot_path, client_id, limit=limit, now=now)


def inspect_known_session(
    sessions: Sessions, hot_path: HotPathReads, client_id: str, *, limit: int | None = None, now: Instant = 0
) -> tuple[InspectedSession, ...]:
    """The same, for whoever has read the credential in this very request, and seen whose it is."""
    standings: dict[tuple[str, str], tuple[Instant, Standing | None]] = {}
    watched = []
    found = sessions.of_credential(client_id) if limit is None else sessions.recent_of_credential(client_id, now, limit)
    for session in found:
        around = (session.secret_id, session.kid)
        if around not in standings:
            facts = hot_path.introspection_facts("", TokenKeys("", client_id, session.secret_id, session.kid))
            standings[around] = (facts.now, facts.standing)
        watched.append(_judge(session, *standings[around]))
    return tuple(watched)


def _judge(session: Session, now: Instant, standing: Standing | None) -> InspectedSession:
    if session.ended_at is not None or standing is None:
        reason = session.end_reason or Reason.CREDENTIAL_DELETED.value
        return InspectedSession(session, live=False, idle_ends_at=None, ended_at=session.ended_at, end_reason=reason)
    token = Token(
        jti=session.jti,
        issued_at=session.issued_at,
        expires_at=session.expires_at,
        last_used_at=session.last_used_at,
        role_version=session.role_version,
        credential_version=session.credential_version,
        epoch=session.epoch,
    )
    idle = idle_end(token, standing)
    reason_now = decide(token, now, standing).reason
    if reason_now is None:
        return InspectedSession(session, live=True, idle_ends_at=idle, ended_at=None, end_reason=None)
    instants = {Reason.EXPIRED: min(token.expires_at, token.issued_at + standing.max_lifetime), Reason.IDLE: idle}
    if reason_now in instants:
        # An introspection takes the first rule that says no; whoever asks why wants the one that came first.
        reason_now = min(instants, key=lambda each: instants[each])
    ended = instants.get(reason_now, now)
    # Under a setting of the past it ended before this, and nobody knows when.
    known = reason_now in instants and ended <= now
    return InspectedSession(
        session, live=False, idle_ends_at=idle, ended_at=ended if known else None, end_reason=reason_now.value
    )


def end(accounts: Accounts, jti: str, reason: Reason, *, actor: str, now: Instant, owner_id: str | None = None) -> None:
    """End one session for good; the credential's others live on.

    Raises:
        NotFound: no session of that id lives, or it is not the owner's.
    """
    with accounts.change(Event("session.ended", actor, jti, {"reason": reason.value}), now) as tx:
        if not tx.end_session(jti, reason, now, owner_id):
            msg = f"there is no live session {jti!r}; `flask sessions list CLIENT_ID --live` shows them"
            raise NotFound(msg)


def end_all(
    accounts: Accounts, client_id: str, reason: Reason, *, actor: str, now: Instant, owner_id: str | None = None
) -> tuple[Credential, int]:
    """End every session of a credential, also those not on record yet; how many were on record.

    A new credential version kills what has no row (INV-05); the credential itself stays as it is.

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
