"""Counts the credentials that still use a shared secret, in all, by owner and by API."""

from typing import Any

from sqlalchemy import Connection, Engine, case, func, or_, select

from authserver.ports.console_reads.credentials import SecretApi, SecretHolder, SharedSecrets
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY
from authserver.store.engine.connections import reading
from authserver.store.tables import IS_SECRET, credentials, resource_servers, secrets, usage, users

DAYS = 30
"""An API that was not called for so many days is not counted."""


def _live(now: Instant) -> tuple[Any, ...]:
    mine = credentials.c
    lives = or_(secrets.c.ends_at.is_(None), secrets.c.ends_at > now)
    return (mine.deleted_at.is_(None), mine.disabled_at.is_(None), mine.expires_at > now, lives)


def _ways(now: Instant) -> Any:
    """Each live credential that can authenticate: whether by a secret, and whether in another way."""
    shared, other = (func.max(case((each, 1), else_=0)) for each in (IS_SECRET, ~IS_SECRET))
    query = select(credentials.c.owner_id, shared.label("shared"), other.label("other"))
    query = query.select_from(credentials.join(secrets, secrets.c.client_id == credentials.c.client_id))
    return query.where(*_live(now)).group_by(credentials.c.client_id, credentials.c.owner_id).subquery()


def count_ways(connection: Connection, now: Instant) -> tuple[int, int, int]:
    """How many credentials have a secret alone, a secret and another way, and another way alone."""
    ways = _ways(now)
    query = select(ways.c.shared, ways.c.other, func.count()).group_by(ways.c.shared, ways.c.other)
    found = {(shared, other): number for shared, other, number in connection.execute(query)}
    return found.get((1, 0), 0), found.get((1, 1), 0), found.get((0, 1), 0)


def count_owners(connection: Connection, now: Instant, most: int) -> tuple[SecretHolder, ...]:
    """Whose credentials use a secret, the most first."""
    ways, number = _ways(now), func.count()
    query = (
        select(users.c.username, number, func.sum(1 - ways.c.other))
        .select_from(ways.join(users, users.c.id == ways.c.owner_id))
        .where(ways.c.shared == 1)
        .group_by(users.c.username)
        .order_by(number.desc(), users.c.username)
        .limit(most)
    )
    return tuple(SecretHolder(owner, count, int(alone)) for owner, count, alone in connection.execute(query))


def count_apis(connection: Connection, now: Instant, most: int) -> tuple[SecretApi, ...]:
    """Which APIs were called with tokens that a secret obtained which still lives, the most credentials first."""
    number, server = func.count(usage.c.client_id.distinct()), resource_servers.c
    query = (
        select(server.name, server.audience, number)
        .select_from(
            usage.join(secrets, secrets.c.id == usage.c.secret_id)
            .join(credentials, credentials.c.client_id == secrets.c.client_id)
            .join(resource_servers, server.id == usage.c.resource_server_id)
        )
        .where(usage.c.day >= now - now % DAY - DAYS * DAY, IS_SECRET, *_live(now))
        .group_by(server.name, server.audience)
        .order_by(number.desc(), server.name)
        .limit(most)
    )
    return tuple(SecretApi(*row) for row in connection.execute(query))


class SqlSharedSecretReads:
    """``console_reads.SharedSecretReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def report(self, now: Instant, most: int) -> SharedSecrets:
        """The counts as of one instant, with ``most`` owners and APIs."""
        with reading(self._engine) as connection:
            alone, both, others = count_ways(connection, now)
            owners, apis = count_owners(connection, now, most), count_apis(connection, now, most)
        return SharedSecrets(alone + both + others, alone, both, owners, apis)
