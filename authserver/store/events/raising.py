"""Writes events and their deliveries, in one transaction with what they follow from."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select, update

from authserver.audit import canonical
from authserver.ports.events.webhooks import PENDING
from authserver.rules.events.catalogue import RaisedEvent, wanted
from authserver.rules.events.mail import OWNERS, mailed
from authserver.store.tables import credentials, event_deliveries, event_outbox, events, users, webhooks

_KEYS_AT_ONCE = 500
_BEGIN = {"state": PENDING, "attempts": 0, "last_error": ""}


def lock_outbox(connection: Connection) -> Any:
    """The row of the outbox, locked until the transaction ends: events have one order."""
    return connection.execute(select(event_outbox).with_for_update()).one()


def insert_events(connection: Connection, newest: int, raised: Sequence[RaisedEvent], mail: int) -> int:
    """Keep events behind the number ``newest``, with a delivery to each webhook that takes them, and by mail.

    Events of a known key are not kept again. Returns the number of the newest event now; the caller writes it down.
    """
    known = _known(connection, [event.key for event in raised])
    fresh = list({event.key: event for event in raised if event.key not in known}.values())
    if not fresh:
        return newest
    named = _with_names(connection, fresh)
    targets = _webhooks(connection)
    reached = _with_address(connection, named) if mail & OWNERS else set()
    rows: list[dict[str, Any]] = []
    deliveries: list[dict[str, Any]] = []
    for number, event in enumerate(named, newest + 1):
        rows.append(
            {
                "seq": number,
                "id": f"evt_{uuid.uuid4().hex}",
                "key": event.key,
                "type": event.type,
                "object": event.object,
                "at": event.at,
                "data": canonical(event.data),
            }
        )
        begin = {"event_seq": number, "object": event.object, "next_at": event.at}
        by_mail = mailed(mail, event.type, event.user_id, has_address=event.user_id in reached)
        deliveries += [{"target": target, **begin} for target in (*_targets(event, targets), *by_mail)]
    connection.execute(insert(events), rows)
    if deliveries:
        connection.execute(insert(event_deliveries), [{**_BEGIN, **each} for each in deliveries])
    return newest + len(rows)


def raise_now(connection: Connection, raised: Sequence[RaisedEvent]) -> int:
    """Lock the outbox, keep events, and write down the newest; how many were new."""
    outbox = lock_outbox(connection)
    newest = insert_events(connection, outbox.seq, raised, outbox.mail)
    connection.execute(update(event_outbox).values(seq=newest))
    return int(newest - outbox.seq)


def _known(connection: Connection, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for begin in range(0, len(keys), _KEYS_AT_ONCE):
        part = keys[begin : begin + _KEYS_AT_ONCE]
        found |= set(connection.execute(select(events.c.key).where(events.c.key.in_(part))).scalars())
    return found


def _targets(event: RaisedEvent, subscriptions: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    if event.type == "webhook.test":
        return [event.object] if event.object in subscriptions else []
    return [target for target, types in subscriptions.items() if wanted(types, event.type)]


def _webhooks(connection: Connection) -> dict[str, tuple[str, ...]]:
    query = select(webhooks.c.id, webhooks.c.events).where(webhooks.c.disabled_at.is_(None))
    return {row.id: tuple(row.events.split()) for row in connection.execute(query)}


def _with_address(connection: Connection, raised: Sequence[RaisedEvent]) -> set[str]:
    """The ids of those users, of whom an event is, who have an address."""
    ids, found = sorted({event.user_id for event in raised if event.user_id}), set[str]()
    for begin in range(0, len(ids), _KEYS_AT_ONCE):
        part = ids[begin : begin + _KEYS_AT_ONCE]
        found |= set(
            connection.execute(select(users.c.id).where(users.c.id.in_(part), users.c.email.is_not(None))).scalars()
        )
    return found


def _with_names(connection: Connection, raised: Sequence[RaisedEvent]) -> list[RaisedEvent]:
    """Add the name and the owner of the credential that an event is about, as they are now."""
    wanted_ids = sorted({event.client_id for event in raised if event.client_id})
    found: dict[str, dict[str, object]] = {}
    for begin in range(0, len(wanted_ids), _KEYS_AT_ONCE):
        query = (
            select(credentials.c.client_id, credentials.c.name, credentials.c.owner_id, users.c.username)
            .join(users, users.c.id == credentials.c.owner_id)
            .where(credentials.c.client_id.in_(wanted_ids[begin : begin + _KEYS_AT_ONCE]))
        )
        for row in connection.execute(query):
            found[row.client_id] = {"name": row.name, "owner": row.username, "owner_id": row.owner_id}
    return [
        replace(event, data={**event.data, **found[event.client_id]}, user_id=str(found[event.client_id]["owner_id"]))
        if event.client_id in found
        else event
        for event in raised
    ]


def detail_of(text: str) -> dict[str, Any]:
    """The details of an audit record; empty where somebody wrote something else there."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
