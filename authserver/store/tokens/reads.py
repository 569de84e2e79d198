"""Counts live tokens: all, by key, by audience, and those that other settings would end."""

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
from authserver.ports.console_reads.tokens import UnusedTokens
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import resource_servers, sessions, signing_keys
from authserver.store.tokens.live_tokens import YOUNG, Terms, read_terms, where_live
from authserver.store.tokens.unused_tokens import unused_tokens


class SqlTokenReads:
    """``console_reads.TokenReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unused(self, now: Instant, client_id: str | None = None) -> tuple[UnusedTokens, ...]:
        """Clients that got far more tokens yesterday than they used, the worst first."""
        return unused_tokens(self._engine, now, client_id)

    def all(self, now: Instant) -> int:
        """How many live tokens there are."""
        with reading(self._engine) as connection:
            return _count(connection, _ALL, read_terms(connection, now))

    def by_key(self, now: Instant, kid: str | None = None) -> Mapping[str, int]:
        """How many live tokens each signing key has signed."""
        with reading(self._engine) as connection:
            terms = read_terms(connection, now)
            audiences: dict[str, list[str]] = {key_id: [] for key_id in terms.kids if kid in (None, key_id)}
            for audience, signed_by in connection.execute(_PAIRS, {"now": now}).all():
                if signed_by in audiences:
                    audiences[signed_by].append(audience)
            return {
                key_id: _count(connection, _FOR_AUDIENCES, replace(terms, kids=(key_id,)), audiences=names)
                if names
                else 0
                for key_id, names in audiences.items()
            }

    def by_audience(self, now: Instant, audience: str | None = None) -> Mapping[str, int]:
        """How many live tokens there are for each resource server's audience."""
        with reading(self._engine) as connection:
            terms = read_terms(connection, now)
            if audience is not None:
                return {audience: _count(connection, _FOR_AUDIENCES, terms, audiences=[audience])}
            counts = dict.fromkeys(connection.execute(_AUDIENCES).scalars().all(), 0)
            for each in {pair.audience for pair in connection.execute(_PAIRS, {"now": now}).all()}:
                counts[each] = _count(connection, _FOR_AUDIENCES, terms, audiences=[each])
            return counts

    def ended_by(
        self, now: Instant, *, idle_timeout_minutes: int | None = None, max_token_lifetime_minutes: int | None = None
    ) -> int:
        """How many tokens live now and would not under these settings."""
        ends = {"used_by": idle_timeout_minutes, "issued_by": max_token_lifetime_minutes}
        instants = {name: now - minutes * 60 for name, minutes in ends.items() if minutes is not None}
        if not instants:
            return 0
        with reading(self._engine) as connection:
            return _count(connection, _ended_by(*instants), read_terms(connection, now), **instants)


_CountQueries = tuple[Select[Any], Select[Any]]


def _count_queries(*conditions: ColumnElement[bool]) -> _CountQueries:
    """Counts up to ``most`` live tokens, young ones first: most of the older ones are idle and read in vain."""
    query = where_live(select(sessions.c.jti), begin_with_sessions=True).where(*conditions)
    halves = [query.where(half).limit(bindparam("most", type_=Integer)).subquery() for half in (YOUNG, not_(YOUNG))]
    young, old = (select(func.count()).select_from(half) for half in halves)
    return young, old


@cache
def _ended_by(*ends: str) -> _CountQueries:
    conditions = {
        "used_by": sessions.c.last_used_at <= bindparam("used_by", type_=BigInteger),
        "issued_by": sessions.c.issued_at <= bindparam("issued_by", type_=BigInteger),
    }
    return _count_queries(or_(*(conditions[name] for name in ends)))


_ALL = _count_queries()
_FOR_AUDIENCES = _count_queries(sessions.c.audience.in_(bindparam("audiences", type_=String, expanding=True)))
_AUDIENCES = select(resource_servers.c.audience)
_audience_and_kid = (resource_servers.c.audience, signing_keys.c.kid)
# One index probe for each pair. ``min`` and not ``exists``: for that PostgreSQL would scan the table, since it expects
# a match soon.
_first_end = select(func.min(sessions.c.expires_at)).where(
    sessions.c.audience == resource_servers.c.audience,
    sessions.c.kid == signing_keys.c.kid,
    sessions.c.ended_at.is_(None),
    sessions.c.expires_at > bindparam("now", type_=BigInteger),
)
_PAIRS = (
    select(*_audience_and_kid)
    .select_from(resource_servers.join(signing_keys, true()))
    .where(_first_end.correlate(resource_servers, signing_keys).scalar_subquery().is_not(None))
    .order_by(*_audience_and_kid)
)


def _count(connection: Connection, queries: _CountQueries, terms: Terms, **more: Any) -> int:
    counted = 0
    for query in queries:
        if counted < MAX_COUNTED:
            counted += connection.execute(query, {**terms.values, **more, "most": MAX_COUNTED - counted}).scalar_one()
    return counted
