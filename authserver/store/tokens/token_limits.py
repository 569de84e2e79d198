"""Holds a credential to a number of live sessions and of token requests a minute, on all nodes together.

Only credentials that are restricted so come here, and for them a token request writes. How often is one upsert of one
row. How many is a transaction: whoever adds a session waits for whoever adds one to the same credential, counts those
that live, and writes the new one before the token is answered, so no two nodes take the same place.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, String, bindparam, case, cast, select

from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant, Reason, Span
from authserver.rules.idle import USE_TOLERANCE
from authserver.store.engine.batch_statements import insert_for
from authserver.store.engine.connections import writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import credentials, sessions, token_request_rates
from authserver.store.tokens.live_tokens import read_terms, where_live
from authserver.store.tokens.revocations import lock_head
from authserver.store.tokens.sessions import append_ends, end_row, uses

_WINDOW_MS = 60_000
_MAX_REMEMBERED = 10_000

_LIVE = where_live(select(sessions.c.jti, sessions.c.expires_at, sessions.c.last_used_at))
_LIVE = _LIVE.where(sessions.c.client_id == bindparam("client_id")).order_by(sessions.c.issued_at, sessions.c.jti)


class SqlTokenLimits:
    """``ports.TokenLimits``."""

    def __init__(self, engine: Engine, held: ThreadConnections) -> None:
        self._engine = engine
        # Sent again where its connection broke, it may count one request twice.
        self._take = PreparedStatement(held, _take_statement(engine.dialect.name))
        self._uses = uses(engine)
        self._full: dict[tuple[str, int], Instant] = {}

    def take(self, client_id: str, per_minute: int, now: Instant) -> Span:
        """Count one token request, by a leaky bucket; 0, or the seconds to wait when it is full.

        A client that does not wait costs no statement until its time has come.
        """
        key, step = (client_id, per_minute), _WINDOW_MS // per_minute
        until = self._full.get(key, 0)
        wait = -(-step // 1000)
        if now < until <= now + wait:
            return until - now
        if self._take.row({"client_id": client_id, "now_ms": now * 1000, "step": step}) is not None:
            return 0
        if len(self._full) >= _MAX_REMEMBERED:
            self._full.clear()
        self._full[key] = now + wait
        return wait

    def admit(
        self, start: SessionStart, *, token_hash: str, most: int, end_oldest: bool, idle_timeout: Span, now: Instant
    ) -> Span:
        """Record a new session while fewer than ``most`` live, or end the oldest; 0, or the seconds to wait."""
        with writing(self._engine) as connection:
            head = lock_head(connection) if end_oldest else None
            if head is None:
                _lock_credential(connection, start.client_id)
            live = _live(connection, start.client_id, now)
            surplus = live[: max(0, len(live) - most + 1)]
            if surplus and not end_oldest:
                first = min(min(each.expires_at, each.last_used_at + idle_timeout) for each in live)
                return max(1, int(first) - now)
            # In the order in which the usage buffer writes them: two transactions never wait for each other in a ring.
            jtis = sorted(each.jti for each in surplus)
            append_ends(
                connection, head, [jti for jti in jtis if end_row(connection, jti, Reason.SESSION_LIMIT, now)], now
            )
            self._uses.run(connection, [(*start, now, None, None, token_hash)])
        return 0


def _take_statement(dialect: str) -> Any:
    """Add one request to the bucket of a credential unless it is full; a row when it was added.

    What lies further ahead than a full bucket was written before the clock was set back, and counts for nothing.
    """
    # Cast, because PostgreSQL cannot tell the type of a sum of two parameters.
    now, step = (cast(bindparam(name), BigInteger) for name in ("now_ms", "step"))
    before = token_request_rates.c.empty_at_ms
    row = insert_for(dialect)(token_request_rates).values(
        client_id=bindparam("client_id", type_=String), empty_at_ms=now + step
    )
    sane = case((before.between(now, now + _WINDOW_MS), before), else_=now)
    return row.on_conflict_do_update(
        index_elements=["client_id"], set_={"empty_at_ms": sane + step}, where=sane + step <= now + _WINDOW_MS
    ).returning(token_request_rates.c.client_id)


def _lock_credential(connection: Connection, client_id: str) -> None:
    query = select(credentials.c.client_id).where(credentials.c.client_id == client_id)
    connection.execute(query.with_for_update())


def _live(connection: Connection, client_id: str, now: Instant) -> list[Any]:
    """Its live sessions, oldest first; one whose last use may still be buffered on another node counts as live."""
    terms = read_terms(connection, now)
    terms = replace(terms, used_since=terms.used_since - USE_TOLERANCE)
    return list(connection.execute(_LIVE, {**terms.values, "client_id": client_id}))
