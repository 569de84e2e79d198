"""Live tokens as people count them: by key, by audience, and those that other settings would end."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    bindparam,
    func,
    not_,
    or_,
    select,
    true,
)

from authserver.ports.console_reads.paging import MAX_COUNTED
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import resource_servers, sessions, signing_keys
from authserver.store.tokens.live_tokens import YOUNG, Terms, living, terms


class SqlTokenReads:
    """``console_reads.TokenReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, now: Instant) -> int:
        """How many live tokens there are."""
        with reading(self._engine) as connection:
            return _counted(connection, _EVERY, terms(connection, now))

    def by_key(self, now: Instant, kid: str | None = None) -> Mapping[str, int]:
        """How many live tokens each signing key has signed."""
        with reading(self._engine) as connection:
            of = terms(connection, now)
            audiences: dict[str, list[str]] = {each: [] for each in of.kids if kid in (None, each)}
            for audience, signed_by in connection.execute(_PAIRS, {"now": now}).all():
                if signed_by in audiences:
                    audiences[signed_by].append(audience)
            return {
                each: _counted(connection, _MEANT_FOR, replace(of, kids=(each,)), audiences=some) if some else 0
                for each, some in audiences.items()
            }

    def by_audience(self, now: Instant, audience: str | None = None) -> Mapping[str, int]:
        """How many live tokens there are for each resource server's audience."""
        with reading(self._engine) as connection:
            of = terms(connection, now)
            if audience is not None:
                return {audience: _counted(connection, _MEANT_FOR, of, audiences=[audience])}
            counts = dict.fromkeys(connection.execute(_AUDIENCES).scalars().all(), 0)
            for each in {pair.audience for pair in connection.execute(_PAIRS, {"now": now}).all()}:
                counts[each] = _counted(connection, _MEANT_FOR, of, audiences=[each])
            return counts

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings."""
        ends = {"used_by": idle_timeout_minutes, "issued_by": max_token_lifetime_minutes}
        given = {name: now - minutes * 60 for name, minutes in ends.items() if minutes is not None}
        if not given:
            return 0
        with reading(self._engine) as connection:
            return _counted(connection, _ending(*given), terms(connection, now), **given)


_Parts = tuple[Select[Any], Select[Any]]


def _counting(*only: ColumnElement[bool]) -> _Parts:
    """Counts up to ``most``; the young first: most of the older ones were left idle, and are looked at for nothing."""
    asked = living(select(sessions.c.jti), begin_with_sessions=True).where(*only)
    some = [asked.where(part).limit(bindparam("most", type_=Integer)).subquery() for part in (YOUNG, not_(YOUNG))]
    young, old = (select(func.count()).select_from(each) for each in some)
    return young, old


@cache
def _ending(*ends: str) -> _Parts:
    dead = {
        "used_by": sessions.c.last_used_at <= bindparam("used_by", type_=BigInteger),
        "issued_by": sessions.c.issued_at <= bindparam("issued_by", type_=BigInteger),
    }
    return _counting(or_(*(dead[name] for name in ends)))


_EVERY = _counting()
_MEANT_FOR = _counting(sessions.c.audience.in_(bindparam("audiences", type_=String, expanding=True)))
_AUDIENCES = select(resource_servers.c.audience)
_asked = (resource_servers.c.audience, signing_keys.c.kid)
# One step into an index for each pair. The first end and not "any": for that PostgreSQL would walk the table, sure
# to meet one of so many soon.
_first_end = select(func.min(sessions.c.expires_at)).where(
    sessions.c.audience == resource_servers.c.audience,
    sessions.c.kid == signing_keys.c.kid,
    sessions.c.ended_at.is_(None),
    sessions.c.expires_at > bindparam("now", type_=BigInteger),
)
_PAIRS = (
    select(*_asked)
    .select_from(resource_servers.join(signing_keys, true()))
    .where(_first_end.correlate(resource_servers, signing_keys).scalar_subquery().is_not(None))
    .order_by(*_asked)
)


def _counted(connection: Connection, parts: _Parts, of: Terms, **more: Any) -> int:
    found = 0
    for part in parts:
        if found < MAX_COUNTED:
            found += connection.execute(part, {**of.values, **more, "most": MAX_COUNTED - found}).scalar_one()
    return found
