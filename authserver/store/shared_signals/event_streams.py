"""Event streams on disk, and the list of what ended as they read it.

How far a stream is, is written when its receiver acknowledged something, never a row per event. The ``Authorization``
header for a receiver is sealed in the vault, so a change of the master key seals it anew with everything else.
"""

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Engine, and_, case, delete, func, insert, or_, select, update

from authserver.audit import Event
from authserver.ports.errors import Conflict, NotFound
from authserver.ports.shared_signals.streams import PUSH, DuePush, EventStream
from authserver.rules.facts import Instant
from authserver.rules.shared_signals.events import Entry
from authserver.rules.shared_signals.progress import ENABLED, Message, Progress
from authserver.store.accounts import SqlAccounts
from authserver.store.engine.connections import reading, writing
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import (
    audit_head,
    credentials,
    event_streams,
    kills,
    resource_servers,
    sessions,
    settings,
    users,
    vault,
)
from authserver.store.tokens.hot_path import CALLER, as_caller
from keys.master import MasterKey

_ROW = event_streams.c
_ERROR_LENGTH = 200
_MISSING = "there is no such stream"

# The subject of an entry is a token, a credential or a user; ids of these are never the same.
_CLIENT = func.coalesce(sessions.c.client_id, kills.c.subject)
_USER = func.coalesce(credentials.c.owner_id, case((kills.c.kind == "role_version", kills.c.subject), else_=""))
_ENTRIES = (
    select(
        *kills.c,
        _USER.label("user"),
        credentials.c.client_id.label("application"),
        sessions.c.audience,
        users.c.disabled_at,
        credentials.c.deleted_at,
        credentials.c.disabled_at.label("switched_off_at"),
    )
    .select_from(
        kills.outerjoin(sessions, and_(kills.c.kind == "session", sessions.c.jti == kills.c.subject))
        .outerjoin(credentials, credentials.c.client_id == _CLIENT)
        .outerjoin(users, users.c.id == _USER)
    )
    .order_by(kills.c.seq)
)


def _due_query(now: Any) -> Any:
    """Streams that have something to push at ``now``, whose receiver is enabled and that nobody is at."""
    something = or_(
        and_(_ROW.status == ENABLED, or_(_ROW.cursor < audit_head.c.kill_seq, _ROW.messages != "[]")),
        _ROW.messages.like('%"status": "%'),
    )
    return (
        select(_ROW.id)
        .select_from(
            event_streams.join(resource_servers, resource_servers.c.id == _ROW.resource_server_id).join(
                audit_head, audit_head.c.id == 1
            )
        )
        .where(_ROW.method == PUSH, resource_servers.c.disabled_at.is_(None), something)
        .where(_ROW.next_push_at <= now, _ROW.claimed_until <= now)
        .order_by(_ROW.next_push_at, _ROW.id)
    )


class SqlEventStreams:
    """``ports.EventStreams``."""

    def __init__(self, engine: Engine, held: ThreadConnections, accounts: SqlAccounts, master: MasterKey) -> None:
        self._engine, self._accounts, self._master = engine, accounts, master
        self._any = PreparedStatement(held, select(_ROW.id).where(_ROW.method == PUSH).limit(1))

    def requested_from(self, accounts: SqlAccounts) -> "SqlEventStreams":
        """The same; its changes are written by ``accounts``, which knows the address of the request."""
        mine = copy(self)
        mine._accounts = accounts  # noqa: SLF001 - a copy of our own
        return mine

    def of_server(self, server_id: str) -> Sequence[EventStream]:
        """All streams of a resource server, oldest first."""
        query = select(event_streams).where(_ROW.resource_server_id == server_id).order_by(_ROW.created_at, _ROW.id)
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
            return tuple(_stream(row, self._sealed(connection, row.id) is not None) for row in found)

    def entries(self, after: int, most: int) -> Sequence[Entry]:
        """What ended behind number ``after``, in order."""
        with reading(self._engine) as connection:
            return _entries(connection, after, most)

    def newest(self) -> int:
        """The number of the newest entry."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(audit_head.c.kill_seq)).scalar_one())

    def create(self, stream: EventStream, authorization: str, most: int, *, actor: str, now: Instant) -> None:
        """Add a stream; it begins with what ends from now on."""
        detail = {"resource_server": stream.resource_server_id, **_settings(stream)}
        with self._accounts.change(Event("event_stream.created", actor, stream.id, detail), now) as tx:
            mine = select(func.count()).where(_ROW.resource_server_id == stream.resource_server_id)
            if tx.connection.execute(mine).scalar_one() >= most:
                msg = f"a resource server has {most} streams at most; delete one first"
                raise Conflict(msg)
            # The transaction holds the head's lock, so no entry can be between.
            newest = tx.connection.execute(select(audit_head.c.kill_seq)).scalar_one()
            begun = replace(stream, progress=Progress(newest))
            tx.connection.execute(insert(event_streams).values(id=stream.id, claimed_until=0, **_columns(begun)))
            self._seal(tx.connection, stream.id, authorization)

    def change(
        self,
        event: Event,
        change: Callable[[EventStream], EventStream],
        authorization: str | None = None,
        *,
        now: Instant,
    ) -> EventStream:
        """Change what is set of the stream that is the target of ``event``."""
        stream_id = event.target
        with self._accounts.change(event, now) as tx:
            before = self._locked(tx.connection, stream_id)
            if before is None:
                raise NotFound(_MISSING)
            after = change(before)
            if authorization is not None:
                self._seal(tx.connection, stream_id, authorization)
                after = replace(after, authorized=bool(authorization))
            was, now_set = _settings(before), _settings(after)
            tx.detail(
                resource_server=before.resource_server_id,
                before={name: was[name] for name in was if was[name] != now_set[name]},
                after={name: now_set[name] for name in was if was[name] != now_set[name]},
            )
            tx.connection.execute(update(event_streams).where(_ROW.id == stream_id).values(_columns(after)))
        return after

    def delete(self, stream_id: str, *, actor: str, now: Instant) -> None:
        """Delete a stream, and the header for its receiver."""
        with self._accounts.change(Event("event_stream.deleted", actor, stream_id), now) as tx:
            before = self._locked(tx.connection, stream_id)
            if before is None:
                raise NotFound(_MISSING)
            tx.detail(resource_server=before.resource_server_id)
            self._seal(tx.connection, stream_id, "")
            tx.connection.execute(delete(event_streams).where(_ROW.id == stream_id))

    def settle(
        self, stream_id: str, change: Callable[[EventStream], EventStream], *, release: bool = False
    ) -> EventStream | None:
        """Change how far a stream is."""
        with writing(self._engine) as connection:
            before = self._locked(connection, stream_id)
            if before is None:
                return None
            after = change(before)
            values = {**_columns(after), **({"claimed_until": 0} if release else {})}
            connection.execute(update(event_streams).where(_ROW.id == stream_id).values(values))
            return after

    def any_pushed(self) -> bool:
        """Whether there is a stream that is pushed."""
        return bool(self._any.rows({}))

    def claim_due(self, now: Instant, until: Instant, most: int) -> Sequence[DuePush]:
        """Streams whose receivers are to be sent something now."""
        with reading(self._engine) as connection:
            if connection.execute(_due_query(now).limit(1)).first() is None:
                return ()
        with writing(self._engine) as connection:
            due = _due_query(now).limit(most).with_for_update(of=event_streams, skip_locked=True)
            ids = list(connection.execute(due).scalars())
            connection.execute(update(event_streams).where(_ROW.id.in_(ids)).values(claimed_until=until))
            query = (
                select(event_streams, *(column.label(f"caller_{n}") for n, column in enumerate(CALLER)))
                .add_columns(resource_servers.c.client_id.label("caller"))
                .select_from(
                    event_streams.join(resource_servers, resource_servers.c.id == _ROW.resource_server_id).join(
                        settings, settings.c.id == 1
                    )
                )
                .where(_ROW.id.in_(ids))
            )
            return [self._due(connection, row) for row in connection.execute(query).all()]

    def _due(self, connection: Connection, row: Any) -> DuePush:
        sealed = self._sealed(connection, row.id)
        header = self._master.open(f"vault:{_purpose(row.id)}", sealed).decode() if sealed is not None else ""
        receiver = as_caller(row.caller, [getattr(row, f"caller_{n}") for n in range(len(CALLER))])
        if receiver is None:  # it was joined
            raise NotFound(_MISSING)
        return DuePush(_stream(row, bool(header)), receiver, header)

    def _locked(self, connection: Connection, stream_id: str) -> EventStream | None:
        row = connection.execute(select(event_streams).where(_ROW.id == stream_id).with_for_update()).first()
        return None if row is None else _stream(row, self._sealed(connection, stream_id) is not None)

    @staticmethod
    def _sealed(connection: Connection, stream_id: str) -> bytes | None:
        found = connection.execute(select(vault.c.sealed).where(vault.c.purpose == _purpose(stream_id))).scalar()
        return None if found is None else bytes(found)

    def _seal(self, connection: Connection, stream_id: str, header: str) -> None:
        purpose = _purpose(stream_id)
        connection.execute(delete(vault).where(vault.c.purpose == purpose))
        if header:
            sealed = self._master.seal(f"vault:{purpose}", header.encode())
            connection.execute(insert(vault).values(purpose=purpose, sealed=sealed))


def _purpose(stream_id: str) -> str:
    return f"stream:{stream_id}"


def _entries(connection: Connection, after: int, most: int) -> Sequence[Entry]:
    rows = connection.execute(_ENTRIES.where(kills.c.seq > after).limit(most)).all()
    return [
        Entry(
            seq=row.seq,
            at=row.at,
            kind=row.kind,
            subject=row.subject,
            value=row.value,
            user=row.user,
            application=row.application or "",
            audience=row.audience or "",
            disabled=row.disabled_at is not None,
            gone="deleted" if row.deleted_at is not None else "disabled" if row.switched_off_at is not None else "",
        )
        for row in rows
    ]


def _settings(stream: EventStream) -> dict[str, Any]:
    """What the audit tells of a stream; a header is told as being there, never itself."""
    requested = stream.events_requested
    return {
        "method": stream.method,
        "endpoint_url": stream.endpoint_url,
        "authorized": stream.authorized,
        "events_requested": None if requested is None else list(requested),
        "description": stream.description,
        "status": stream.status,
        "reason": stream.reason,
        "without": len(stream.without),
    }


def _columns(stream: EventStream) -> dict[str, Any]:
    progress, requested = stream.progress, stream.events_requested
    return {
        "resource_server_id": stream.resource_server_id,
        "method": stream.method,
        "endpoint_url": stream.endpoint_url,
        "events_requested": None if requested is None else json.dumps(requested),
        "description": stream.description,
        "status": stream.status,
        "reason": stream.reason,
        "without_users": json.dumps(sorted(stream.without)),
        "created_at": stream.created_at,
        "verified_at": stream.verified_at,
        "cursor": progress.cursor,
        "acknowledged": json.dumps(sorted(progress.acknowledged)),
        "messages": json.dumps([_message_document(each) for each in progress.messages]),
        "delivered": stream.delivered,
        "delivered_at": stream.delivered_at,
        "failures": stream.failures,
        "next_push_at": stream.next_push_at,
        "last_error": stream.last_error[:_ERROR_LENGTH],
        "last_error_at": stream.last_error_at,
    }


def _message_document(message: Message) -> dict[str, Any]:
    """Without what is empty, so that ``status`` is there only where there is one: ``_due_query`` looks for it."""
    return {name: value for name, value in asdict(message).items() if value is not None and (value or name == "state")}


def _stream(row: Any, authorized: bool) -> EventStream:  # noqa: FBT001 - two values of one record
    requested = None if row.events_requested is None else tuple(json.loads(row.events_requested))
    messages = tuple(Message(**each) for each in json.loads(row.messages))
    return EventStream(
        id=row.id,
        resource_server_id=row.resource_server_id,
        method=row.method,
        created_at=row.created_at,
        progress=Progress(row.cursor, frozenset(json.loads(row.acknowledged)), messages),
        endpoint_url=row.endpoint_url,
        authorized=authorized,
        events_requested=requested,
        description=row.description,
        status=row.status,
        reason=row.reason,
        without=frozenset(json.loads(row.without_users)),
        verified_at=row.verified_at,
        delivered=row.delivered,
        delivered_at=row.delivered_at,
        failures=row.failures,
        next_push_at=row.next_push_at,
        last_error=row.last_error,
        last_error_at=row.last_error_at,
    )
