"""Live tokens as people count them: by key, by audience, and those that other settings would end."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Engine, func, or_, select

from authserver.rules.facts import Instant
from authserver.store.engine import reading
from authserver.store.live_tokens import living
from authserver.store.tables import sessions


class SqlTokenReads:
    """``console_reads.TokenReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def by_key(self, now: Instant) -> Mapping[str, int]:
        """How many live tokens each signing key has signed."""
        return self._counted(sessions.c.kid, now)

    def by_audience(self, now: Instant) -> Mapping[str, int]:
        """How many live tokens there are for each audience."""
        return self._counted(sessions.c.audience, now)

    def _counted(self, column: ColumnElement[str], now: Instant) -> Mapping[str, int]:
        query = living(now, select(column, func.count())).group_by(column)
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings."""
        dead = []
        if idle_timeout_minutes is not None:
            dead.append(sessions.c.last_used_at + idle_timeout_minutes * 60 <= now)
        if max_token_lifetime_minutes is not None:
            dead.append(sessions.c.issued_at + max_token_lifetime_minutes * 60 <= now)
        if not dead:
            return 0
        with reading(self._engine) as connection:
            count: int = connection.execute(living(now, select(func.count())).where(or_(*dead))).scalar_one()
        return count
