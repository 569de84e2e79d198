"""Rows of webhooks, their deliveries and attempts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select, update

from authserver.ports.errors import NotFound
from authserver.ports.events.webhooks import DEAD, PENDING, Attempt, Delivery, DeliveryCounts, Webhook
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import delivery_attempts, event_deliveries, events, webhooks

_ROW = event_deliveries.c


def as_webhook(row: Any) -> Webhook:
    """One row of ``webhooks``."""
    return Webhook(
        id=row.id,
        url=row.url,
        description=row.description,
        events=tuple(row.events.split()),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        generation=row.generation,
        old_ends_at=row.old_ends_at,
        version=row.version,
    )


def find_webhook(connection: Connection, webhook_id: str) -> Webhook:
    """One webhook; ``NotFound`` else."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == webhook_id)).first()
    if row is None:
        msg = f"there is no webhook {webhook_id!r}; `flask webhooks list` shows them"
        raise NotFound(msg)
    return as_webhook(row)


def deliveries_query() -> Select[Any]:
    """Deliveries with their events."""
    event_columns = (events.c.id, events.c.type, events.c.at, events.c.data)
    return select(event_deliveries, *event_columns).join(events, events.c.seq == _ROW.event_seq)


def as_delivery(row: Any) -> Delivery:
    """One row of ``deliveries_query``."""
    return Delivery(
        target=row.target,
        seq=row.event_seq,
        id=row.id,
        type=row.type,
        object=row.object,
        at=row.at,
        state=row.state,
        attempts=row.attempts,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        last_status=row.last_status,
        last_error=row.last_error,
        data=row.data,
    )


class SqlWebhookChanges:
    """``ports.WebhookChanges``: within the connection of one change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, webhook_id: str) -> Webhook:
        """One webhook; ``NotFound`` else."""
        return find_webhook(self._connection, webhook_id)

    def count(self) -> int:
        """How many there are."""
        return self._connection.execute(select(func.count()).select_from(webhooks)).scalar_one()

    def insert(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        values = {name: getattr(webhook, name) for name in webhook.__slots__}
        self._connection.execute(insert(webhooks).values(values | {"events": " ".join(webhook.events)}))

    def update(self, webhook_id: str, **values: object) -> None:
        """Set columns of one webhook."""
        self._connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values))

    def delete(self, webhook_id: str) -> None:
        """Forget a webhook, its deliveries and their attempts."""
        for table in (delivery_attempts, event_deliveries):
            self._connection.execute(delete(table).where(table.c.target == webhook_id))
        self._connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))

    def replay(self, webhook_id: str, event_id: str, at: Instant) -> bool:
        """Make one delivery due again, whatever became of it; False when there is none."""
        mine = select(events.c.seq).where(events.c.id == event_id).scalar_subquery()
        return self._due_again(at, _ROW.target == webhook_id, _ROW.event_seq == mine) > 0

    def replay_dead(self, webhook_id: str, at: Instant) -> int:
        """Make all deliveries that were given up due again; how many."""
        return self._due_again(at, _ROW.target == webhook_id, _ROW.state == DEAD)

    def _due_again(self, at: Instant, *where: Any) -> int:
        values = {"state": PENDING, "next_at": at, "attempts": 0}
        return self._connection.execute(update(event_deliveries).where(*where).values(values)).rowcount


class SqlWebhookReads:
    """``ports.WebhookReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> Sequence[Webhook]:
        """All webhooks, the oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
            return tuple(as_webhook(row) for row in rows)

    def find(self, webhook_id: str) -> Webhook:
        """One webhook; ``NotFound`` else."""
        with reading(self._engine) as connection:
            return find_webhook(connection, webhook_id)

    def counts(self) -> dict[str, DeliveryCounts]:
        """The states of the deliveries of each webhook that has any, by its id."""
        query = select(_ROW.target, _ROW.state, func.count().label("number")).group_by(_ROW.target, _ROW.state)
        found: dict[str, dict[str, int]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(query):
                found.setdefault(row.target, {})[row.state] = row.number
        return {target: DeliveryCounts(**each) for target, each in found.items()}

    def deliveries(self, webhook_id: str, limit: int, *, before: int | None = None, state: str = "") -> list[Delivery]:
        """Deliveries of a webhook, the newest first, from the one behind the number ``before``."""
        query = deliveries_query().where(_ROW.target == webhook_id)
        if before is not None:
            query = query.where(_ROW.event_seq < before)
        if state:
            query = query.where(_ROW.state == state)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(_ROW.event_seq.desc()).limit(limit))
            return [as_delivery(row) for row in rows]

    def delivery(self, webhook_id: str, event_id: str) -> tuple[Delivery, Sequence[Attempt]]:
        """One delivery with its attempts, the first first; ``NotFound`` else."""
        each = delivery_attempts.c
        with reading(self._engine) as connection:
            query = deliveries_query().where(_ROW.target == webhook_id, events.c.id == event_id)
            row = connection.execute(query).first()
            if row is None:
                msg = f"the webhook has no delivery {event_id!r}; `flask webhooks deliveries` shows them"
                raise NotFound(msg)
            mine = select(delivery_attempts).where(each.target == webhook_id, each.event_seq == row.event_seq)
            found = connection.execute(mine.order_by(each.number))
            attempts = tuple(
                Attempt(attempt.number, attempt.at, attempt.milliseconds, attempt.status, attempt.error)
                for attempt in found
            )
        return as_delivery(row), attempts
