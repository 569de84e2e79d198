"""Live tokens as people count them: by key, by audience, and those that other settings would end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

from sqlalchemy import ColumnElement, Connection, Engine, func, not_, or_, select

from authserver.console_reads import MANY
from authserver.rules.facts import Instant
from authserver.store.engine import reading
from authserver.store.live_tokens import Terms, living, terms, written
from authserver.store.tables import resource_servers, sessions


class SqlTokenReads:
    """``console_reads.TokenReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, now: Instant) -> int:
        """How many live tokens there are."""
        with reading(self._engine) as connection:
            return _counted(connection, terms(connection, now))

    def by_key(self, now: Instant, kid: str | None = None) -> Mapping[str, int]:
        """How many live tokens each signing key has signed."""
        with reading(self._engine) as connection:
            of, audiences = terms(connection, now), _audiences(connection)
            kids = [each for each in of.kids if kid in (None, each)]
            return {each: _pairs(connection, of, [each], audiences) for each in kids}

    def by_audience(self, now: Instant, audience: str | None = None) -> Mapping[str, int]:
        """How many live tokens there are for each resource server's audience."""
        with reading(self._engine) as connection:
            of = terms(connection, now)
            audiences = _audiences(connection) if audience is None else [audience]
            return {each: _pairs(connection, of, of.kids, [each]) for each in audiences}

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings."""
        dead = []
        if idle_timeout_minutes is not None:
            dead.append(sessions.c.last_used_at <= now - idle_timeout_minutes * 60)
        if max_token_lifetime_minutes is not None:
            dead.append(sessions.c.issued_at <= now - max_token_lifetime_minutes * 60)
        if not dead:
            return 0
        with reading(self._engine) as connection:
            return _counted(connection, terms(connection, now), or_(*dead))


def _audiences(connection: Connection) -> Sequence[str]:
    return connection.execute(select(resource_servers.c.audience)).scalars().all()


def _pairs(connection: Connection, of: Terms, kids: Sequence[str], audiences: Sequence[str]) -> int:
    """Each pair has a place in an index, so that one with no token costs nothing."""
    found = 0
    for kid, audience in product(kids, audiences):
        if found < MANY:
            found += _counted(connection, replace(of, kids=[kid]), sessions.c.audience == audience)
    return min(found, MANY)


def _counted(connection: Connection, of: Terms, *only: ColumnElement[bool]) -> int:
    # The young first: most of the older ones were left idle, and would be looked at for nothing.
    young, found = sessions.c.expires_at > written(of.young), 0
    for part in (young, not_(young)):
        if found < MANY:
            asked = living(of, select(sessions.c.jti), begin_with_sessions=True).where(part, *only)
            some = asked.limit(MANY - found).subquery()
            found += connection.execute(select(func.count()).select_from(some)).scalar_one()
    return found
