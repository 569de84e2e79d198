"""Lists audit records by filter, newest first, a page at a time.

The order is by instant and number, which is the order of every index here, so
every page costs the same. A search for a part of a target has no index: it reads
``MAX_SEARCHED`` records at most and then returns the position it reached.
"""

import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    false,
    func,
    or_,
    select,
    union_all,
)

from authserver.audit import Record, piece_fault, seal, seal_head
from authserver.ports.console_reads.audit import AuditPage, AuditPlace, AuditQuery, ChainStatus, SettingRow
from authserver.ports.console_reads.paging import MAX_PAGE
from authserver.rules.names import storable
from authserver.store.accounts import as_record
from authserver.store.engine.connections import reading
from authserver.store.engine.text_search import contains
from authserver.store.rows.accounts import chosen_by, credential_row, find_general
from authserver.store.tables import ENDED_BY_HAND, audit, audit_head, sessions

MAX_SEARCHED = 10_000
"""Records that one call reads at most when it searches for a part of a target."""

_EXPORT_BATCH = 500
_ROLE_EVENTS = ("user.role_granted", "user.role_revoked", "user.disabled", "user.enabled")
_SETTING_CHANGED = "settings.changed"
_NEWEST = (audit.c.at.desc(), audit.c.seq.desc())
_HEAD = select(audit_head)
_NEWEST_RECORD = select(audit).order_by(audit.c.seq.desc()).limit(1)


def _event_names() -> Select[Any]:
    first = select(func.min(audit.c.event).label("event")).cte("names", recursive=True)
    following = select(func.min(audit.c.event)).where(audit.c.event > first.c.event).scalar_subquery()
    names = first.union_all(select(following).where(first.c.event.is_not(None)))
    return select(names.c.event)


_EVENT_NAMES = _event_names()


class SqlAuditReads:
    """``console_reads.AuditReads``."""

    def __init__(self, engine: Engine, audit_key: bytes) -> None:
        self._engine, self._key = engine, audit_key

    def audit_page(self, query: AuditQuery, limit: int = 50, after: AuditPlace | None = None) -> AuditPage:
        """Records that match, newest first."""
        limit = min(max(limit, 1), MAX_PAGE)
        where = [*_conditions(query), *_after_place(after)]
        by_event = [[_event(query) == event] for event in query.events] or [[]]
        if query.text:
            return self._search(query.text, where, by_event, limit)
        return self._page([[*where, *more] for more in by_event], limit)

    def _page(self, alternatives: Sequence[Sequence[ColumnElement[bool]]], limit: int) -> AuditPage:
        with reading(self._engine) as connection:
            found = connection.execute(_newest_of(alternatives, limit + 1)).all()
        return _as_page([as_record(row) for row in found], limit)

    def _search(self, part: str, where: Sequence[Any], by_event: Sequence[Sequence[Any]], limit: int) -> AuditPage:
        # Reads only the columns of the search: a whole record is ten times as wide.
        columns = (audit.c.at, audit.c.seq, audit.c.target)
        searched = _newest_of([[*where, *condition] for condition in by_event], MAX_SEARCHED, columns).subquery().c
        hits = (
            select(searched.seq)
            .where(contains(searched.target, part))
            .order_by(searched.at.desc(), searched.seq.desc())
        )
        query = select(audit).where(audit.c.seq.in_(hits.limit(limit + 1).subquery().select())).order_by(*_NEWEST)
        oldest = (
            select(searched.at, searched.seq, func.count().over().label("number"))
            .order_by(searched.at, searched.seq)
            .limit(1)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
            page = _as_page([as_record(row) for row in found], limit)
            end = connection.execute(oldest).first() if page.after is None else None
        if end is not None and end.number == MAX_SEARCHED:
            return AuditPage(page.records, AuditPlace(end.at, end.seq))
        return page

    def audit_export(self, query: AuditQuery) -> Iterator[Record]:
        """Records that match, whatever their ``text``, oldest first."""
        where = _conditions(query)
        if query.events:
            where.append(_event(query).in_(query.events))
        newer: list[ColumnElement[bool]] = []
        while True:
            batch_query = select(audit).where(*where, *newer).order_by(audit.c.at, audit.c.seq).limit(_EXPORT_BATCH)
            with reading(self._engine) as connection:
                records = [as_record(row) for row in connection.execute(batch_query)]
            # No transaction is open here: a slow consumer holds no connection.
            yield from records
            if len(records) < _EXPORT_BATCH:
                return
            at, seq = records[-1].at, records[-1].seq
            newer = [audit.c.at >= at, or_(audit.c.at > at, and_(audit.c.at == at, audit.c.seq > seq))]

    def audit_events(self) -> Sequence[str]:
        """The names of all events on record, sorted; one index probe a name."""
        with reading(self._engine) as connection:
            return tuple(sorted(name for name in connection.execute(_EVENT_NAMES).scalars() if name))

    def timeline(
        self, client_id: str, limit: int = 50, after: AuditPlace | None = None, *, owner_id: str | None = None
    ) -> AuditPage:
        """The records of a credential, its sessions and its owner's roles since it was made."""
        limit = min(max(limit, 1), MAX_PAGE)
        with reading(self._engine) as connection:
            credential = credential_row(connection, client_id, owner_id)
            parameters = {
                "client_id": client_id,
                "owner": credential.username,
                "roles": chosen_by(connection, client_id),
                "since": credential.created_at,
                "most": limit + 1,
                **({} if after is None else {"at": after.at, "seq": after.seq}),
            }
            found = connection.execute(_timeline(older=after is not None), parameters).all()
        return _as_page([as_record(row) for row in found], limit)

    def chain_status(self) -> ChainStatus:
        """The head of the chain and its newest record."""
        with reading(self._engine) as connection:
            head = connection.execute(_HEAD).one()
            row = connection.execute(_NEWEST_RECORD).first()
        record = None if row is None else as_record(row)
        fault = self._head_fault(head, record)
        return ChainStatus(head.seq, None if record is None else record.at, fault)

    def chain_fault(self, records: Iterable[Record], seq: int, previous: str) -> tuple[int, str] | None:
        """The first record that does not follow number ``seq`` with the hash ``previous``, and why; None: all do."""
        return piece_fault(self._key, records, seq, previous)

    def _head_fault(self, head: Any, newest: Record | None) -> str:
        if not hmac.compare_digest(seal_head(self._key, head.seq, head.hash), str(head.seal)):
            return "the seal of the head was altered"
        if head.seq != (newest.seq if newest else 0):
            return "the newest record is not the one the head names"
        if newest is None:
            return ""
        values = asdict(newest)
        previous, own_hash = values.pop("previous_hash"), values.pop("hash")
        try:
            sealed = seal(self._key, **values, previous=previous)
        except TypeError:  # SQLite stores bytes in a text column, if somebody writes them
            return "the newest record was altered"
        return "" if sealed == own_hash == head.hash else "the newest record was altered"

    def setting_rows(self) -> Sequence[SettingRow]:
        """All general settings with who gave them their value."""
        with reading(self._engine) as connection:
            values = asdict(find_general(connection))
            for bookkeeping in ("epoch", "used_since", "issued_since"):
                values.pop(bookkeeping)
            rows = []
            for name, value in values.items():
                last_change = connection.execute(_changes(name).limit(1)).first()
                rows.append(SettingRow(name, value) if last_change is None else _setting(as_record(last_change), value))
            return tuple(rows)

    def setting_history(self, name: str, limit: int = 20) -> Sequence[SettingRow]:
        """The last changes of one setting, newest first."""
        if not storable(name):
            return ()
        with reading(self._engine) as connection:
            rows = connection.execute(_changes(name).limit(min(max(limit, 1), MAX_PAGE))).all()
        return tuple(_setting(as_record(row)) for row in rows)


@cache
def _timeline(*, older: bool) -> Select[Any]:
    """The statement of ``timeline``, built once; with ``older`` from a position on."""
    at, seq = (bindparam(name, type_=BigInteger) for name in ("at", "seq"))
    after = _older_than(at, seq) if older else []
    client_id = bindparam("client_id", type_=String)
    # A literal, not bound: the index on it is partial.
    by_hand = select(sessions.c.jti).where(sessions.c.client_id == client_id, ENDED_BY_HAND)
    since = audit.c.at >= bindparam("since", type_=BigInteger)
    # Hides the index on events from the planner: it might read all records of an event for the few of a target.
    event = func.coalesce(audit.c.event, "")
    alternatives: list[list[ColumnElement[bool]]] = [
        [audit.c.target == client_id],
        [audit.c.target.in_(by_hand), event == "session.ended"],
        [audit.c.target == bindparam("owner", type_=String), event.in_(_ROLE_EVENTS), since],
        [audit.c.target.in_(bindparam("roles", type_=String, expanding=True)), event == "role.deleted", since],
    ]
    return _newest_of([[*conditions, *after] for conditions in alternatives], bindparam("most", type_=Integer))


def _newest_of(
    alternatives: Sequence[Sequence[ColumnElement[bool]]], limit: Any, columns: Sequence[Any] = (audit,)
) -> Select[Any]:
    """The newest records that match any alternative, without duplicates; each alternative uses its own index."""
    parts = [select(*columns).where(*conditions).order_by(*_NEWEST).limit(limit) for conditions in alternatives]
    if len(parts) == 1:
        return parts[0]
    union = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(union).distinct().order_by(union.c.at.desc(), union.c.seq.desc()).limit(limit)


def _event(query: AuditQuery) -> ColumnElement[str]:
    # Hides the index on events: a target has few records, an event may have nearly all.
    return func.coalesce(audit.c.event, "") if query.target else audit.c.event


def _conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    if not all(map(storable, (query.actor, query.target, *query.events))):
        return [false()]
    conditions: list[ColumnElement[bool]] = []
    if query.actor:
        conditions.append((func.coalesce(audit.c.actor, "") if query.target else audit.c.actor) == query.actor)
    if query.target:
        conditions.append(audit.c.target == query.target)
    if query.since is not None:
        conditions.append(audit.c.at >= query.since)
    if query.until is not None:
        conditions.append(audit.c.at < query.until)
    return conditions


def _after_place(place: AuditPlace | None) -> list[ColumnElement[bool]]:
    return [] if place is None else _older_than(place.at, place.seq)


def _older_than(at: Any, seq: Any) -> list[ColumnElement[bool]]:
    # The first condition alone is what the index can seek to.
    return [audit.c.at <= at, or_(audit.c.at < at, and_(audit.c.at == at, audit.c.seq < seq))]


def _as_page(records: Sequence[Record], limit: int) -> AuditPage:
    shown = tuple(records[:limit])
    more = len(records) > limit
    return AuditPage(shown, AuditPlace(shown[-1].at, shown[-1].seq) if more else None)


def _changes(name: str) -> Select[Any]:
    return select(audit).where(audit.c.target == name, audit.c.event == _SETTING_CHANGED).order_by(*_NEWEST)


def _setting(record: Record, value: object = None) -> SettingRow:
    detail = json.loads(record.detail)
    return SettingRow(
        record.target,
        detail.get("after") if value is None else value,
        changed_by=record.actor,
        changed_at=record.at,
        before=detail.get("before"),
    )
