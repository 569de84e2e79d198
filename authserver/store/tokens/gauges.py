"""Counts for the metrics: a handful of aggregate reads, asked when the metrics are read."""

from collections.abc import Mapping

from sqlalchemy import Engine, func, select

from authserver.ports.sessions import SessionBacklog
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import audit_checkpoints, audit_head, credentials, event_outbox, sessions, signing_keys
from authserver.store.tokens.unused_tokens import unused_tokens

_DAY = 24 * 3600
_NEWEST_CHECKPOINT = select(audit_checkpoints.c.at).order_by(audit_checkpoints.c.number.desc()).limit(1)

Counts = dict[str, Mapping[tuple[str, ...], float]]


def gauges(engine: Engine, backlog: SessionBacklog, now: Instant) -> Counts:
    """Count sessions, credentials and keys at ``now``.

    Raises:
        Unavailable: the database cannot be reached.
    """
    mine = credentials.c
    kept = mine.deleted_at.is_(None)
    wasteful = len(unused_tokens(engine, now))
    live = kept & mine.disabled_at.is_(None) & (mine.expires_at > now)
    with reading(engine) as connection:

        def count(condition: object) -> float:
            return float(connection.execute(select(func.count()).where(condition)).scalar_one())  # type: ignore[arg-type]

        ended = connection.execute(
            select(sessions.c.end_reason, func.count())
            .where(sessions.c.ended_at.is_not(None))
            .group_by(sessions.c.end_reason)
        ).all()
        keys = connection.execute(
            select(signing_keys.c.alg, signing_keys.c.state, func.max(signing_keys.c.created_at)).group_by(
                signing_keys.c.alg, signing_keys.c.state
            )
        ).all()
        checkpoint = connection.execute(_NEWEST_CHECKPOINT).scalar()
        return {
            "oauth_tokens_active": {(): count(sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now))},
            "oauth_tokens_ended": {(reason,): float(number) for reason, number in ended},
            "oauth_session_rows": {(): float(backlog.rows)},
            "oauth_session_sweep_lag_seconds": {(): float(backlog.lag)},
            "oauth_credentials": {
                ("live",): count(live),
                ("disabled",): count(kept & mine.disabled_at.is_not(None)),
                ("expired",): count(kept & mine.disabled_at.is_(None) & (mine.expires_at <= now)),
            },
            "oauth_credentials_expiring": {
                (within,): count(live & (mine.expires_at <= now + days * _DAY))
                for within, days in (("7d", 7), ("30d", 30))
            },
            "oauth_credentials_with_unused_tokens": {(): float(wasteful)},
            "oauth_signing_key_age_seconds": {(alg, state): float(now - made) for alg, state, made in keys},
            "oauth_audit_records": {(): float(connection.execute(select(audit_head.c.seq)).scalar_one())},
            "oauth_audit_chain_broken": {(): count(event_outbox.c.chain_fault.is_not(None))},
            "oauth_audit_checkpoint_age_seconds": {} if checkpoint is None else {(): float(now - checkpoint)},
        }
