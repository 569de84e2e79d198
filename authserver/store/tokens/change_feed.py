"""Reads the list of what ended, whole or from a number on, each time in one snapshot."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, bindparam, func, literal_column, select

from authserver.ports.changes import Changes, ChangesHead, Limits
from authserver.ports.clock import Clock
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import (
    audit_head,
    credentials,
    kills,
    resource_servers,
    secrets,
    sessions,
    settings,
    signing_keys,
    users,
)
from authserver.store.tokens.hot_path import CALLER, as_caller, database_now
from keys.keyring import State

_ONE: Any = literal_column("1")
_AT_ONCE = 500
_SECRET_KINDS = frozenset({"secret", "credential_expiry"})


_LIMITS = (
    settings.c.idle_timeout_minutes,
    settings.c.max_token_lifetime_minutes,
    settings.c.used_since,
    settings.c.issued_since,
)
_NOW = select(settings.c.epoch, audit_head.c.kill_seq, *_LIMITS).select_from(
    settings.join(audit_head, audit_head.c.id == settings.c.id)
)


def _head_statement(dialect: str) -> Select[Any]:
    return select(
        database_now(dialect),
        *CALLER,
        settings.c.epoch,
        audit_head.c.kill_seq,
        *_LIMITS,
    ).select_from(
        settings.join(audit_head, and_(audit_head.c.id == settings.c.id, settings.c.id == _ONE)).outerjoin(
            resource_servers, resource_servers.c.client_id == bindparam("caller")
        )
    )


class SqlChangeReads:
    """``ports.ChangeReads``."""

    def __init__(self, engine: Engine, held: ThreadConnections, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._head = PreparedStatement(held, _head_statement(held.dialect.name))

    def head(self, caller: str) -> ChangesHead:
        """How far the list reaches, and who asks."""
        row = self._head.rows({"caller": caller})[0]
        return ChangesHead(self._clock.now(row[0]), as_caller(caller, row[1:8]), row[8], row[9], _limits(*row[10:]))

    def since(self, audience: str, after: int | None, now: Instant, oldest: Instant) -> Changes | None:
        """What was added behind number ``after``, or the whole state for None."""
        with reading(self._engine) as connection:
            epoch, last, *limits = connection.execute(_NOW).one()
            if after is not None and not self._has_entries(connection, after, last):
                return None
            wanted = kills.c.at >= oldest if after is None else kills.c.seq > after
            entries = connection.execute(select(kills).where(wanted).order_by(kills.c.seq)).all()
            by_kind: dict[str, list[Any]] = {}
            for entry in entries:
                by_kind.setdefault(entry.kind, []).append(entry)
            owners = [entry.subject for entry in by_kind.get("role_version", ())]
            clients = [entry.subject for kind in _SECRET_KINDS for entry in by_kind.get(kind, ())]
            return Changes(
                as_of=now,
                epoch=epoch,
                last=last,
                limits=_limits(*limits),
                role_versions={entry.subject: entry.value for entry in by_kind.get("role_version", ())},
                ended_tokens=self._tokens(connection, audience, now, by_kind.get("session"), whole=after is None),
                ended_credentials={entry.subject: entry.at for entry in by_kind.get("credential", ())},
                ended_secrets=self._secrets(connection, clients),
                disabled_users=self._disabled(connection, None if after is None else owners),
                removed_keys=self._compromised(connection),
            )

    @staticmethod
    def _has_entries(connection: Connection, after: int, last: int) -> bool:
        first = connection.execute(select(func.min(kills.c.seq))).scalar_one()
        return after == last or (after < last and first is not None and after >= first - 1)

    @staticmethod
    def _tokens(
        connection: Connection, audience: str, now: Instant, entries: Sequence[Any] | None, *, whole: bool
    ) -> dict[str, Instant]:
        alive = (sessions.c.audience == audience, sessions.c.expires_at > now, sessions.c.ended_at.is_not(None))
        query = select(sessions.c.jti, sessions.c.expires_at).where(*alive)
        if whole:
            return dict(map(tuple, connection.execute(query).all()))
        return _in_pieces(connection, query, sessions.c.jti, [entry.subject for entry in entries or ()])

    @staticmethod
    def _secrets(connection: Connection, clients: Sequence[str]) -> dict[str, Instant]:
        """Each secret ends with its credential at the latest."""
        query = select(secrets.c.id, secrets.c.ends_at, credentials.c.expires_at).join(
            credentials, credentials.c.client_id == secrets.c.client_id
        )
        ends: dict[str, Instant] = {}
        for some in _pieces(clients):
            for secret_id, ends_at, expires_at in connection.execute(query.where(secrets.c.client_id.in_(some))):
                ends[secret_id] = expires_at if ends_at is None else min(ends_at, expires_at)
        return ends

    @staticmethod
    def _disabled(connection: Connection, owners: Sequence[str] | None) -> frozenset[str]:
        query = select(users.c.id).where(users.c.disabled_at.is_not(None))
        if owners is None:
            return frozenset(connection.execute(query).scalars())
        return frozenset(
            user for some in _pieces(owners) for user in connection.execute(query.where(users.c.id.in_(some))).scalars()
        )

    @staticmethod
    def _compromised(connection: Connection) -> frozenset[str]:
        query = select(signing_keys.c.kid).where(signing_keys.c.state == State.COMPROMISED.value)
        return frozenset(connection.execute(query).scalars())


def _limits(idle_minutes: int, longest_minutes: int, used_since: Instant, issued_since: Instant) -> Limits:
    return Limits(idle_minutes * 60, longest_minutes * 60, used_since, issued_since)


def _pieces(values: Sequence[str]) -> Sequence[Sequence[str]]:
    distinct = sorted(set(values))
    return [distinct[first : first + _AT_ONCE] for first in range(0, len(distinct), _AT_ONCE)]


def _in_pieces(connection: Connection, query: Select[Any], column: Any, values: Sequence[str]) -> dict[str, Instant]:
    return {
        key: value for some in _pieces(values) for key, value in connection.execute(query.where(column.in_(some))).all()
    }
