"""The outbox: the audit records behind a cursor become events, and what is due of them is handed out."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Select, delete, exists, func, insert, select, update

from authserver.ports.events.outbox import ChainWatchState, Mail, OutboxState, Outcome
from authserver.ports.events.webhooks import DEAD, DELIVERED, PENDING, Delivery, Webhook
from authserver.rules.events.catalogue import RaisedEvent, of_change
from authserver.rules.events.mail import TARGET, user_target
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading, writing
from authserver.store.events import expiries
from authserver.store.events.raising import detail_of, insert_events, lock_outbox, raise_now
from authserver.store.events.webhooks import as_delivery, as_webhook, deliveries_query
from authserver.store.tables import (
    audit,
    audit_head,
    console_preferences,
    delivery_attempts,
    event_deliveries,
    event_outbox,
    events,
    settings,
    users,
    webhooks,
)

_ROW = event_deliveries.c
_ENABLED = webhooks.c.disabled_at.is_(None)
_MAX_ERROR = 200
_NOTED_EVERY = 600
"""Seconds from one note that the chain holds to the next."""


class SqlOutbox:
    """``ports.Outbox``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        enabled = select(func.count()).select_from(webhooks).where(_ENABLED).scalar_subquery()
        unused = select(settings.c.unused_disable_days).scalar_subquery()
        counts = (audit_head.c.seq.label("head"), enabled.label("webhooks"), unused.label("unused_days"))
        both = event_outbox.join(audit_head, audit_head.c.id == event_outbox.c.id)
        self._state = select(event_outbox, *counts).select_from(both)

    def state(self) -> OutboxState:
        """How things stand, in one statement."""
        with reading(self._engine) as connection:
            row = connection.execute(self._state).one()
        return OutboxState(
            behind=row.head - row.audit_seq,
            webhooks=row.webhooks,
            holder=row.holder,
            lease_until=row.lease_until,
            swept_at=row.swept_at,
            unused_days=row.unused_days,
            mail=row.mail,
            chain=ChainWatchState(row.chain_walked_at, row.chain_fault or ""),
        )

    def acquire(self, holder: str, now: Instant, until: Instant) -> bool:
        """Take or prolong the lease; False while another one holds it."""
        free = (event_outbox.c.holder == holder) | (event_outbox.c.lease_until <= now)
        taken = update(event_outbox).where(free).values(holder=holder, lease_until=until)
        with writing(self._engine) as connection:
            return connection.execute(taken).rowcount > 0

    def collect(self, limit: int) -> int:
        """Turn the next records into events with deliveries; how many records there were."""
        with writing(self._engine) as connection:
            outbox = lock_outbox(connection)
            query = select(audit).where(audit.c.seq > outbox.audit_seq).order_by(audit.c.seq).limit(limit)
            records = connection.execute(query).all()
            if not records:
                return 0
            raised = [of_change(row.seq, row.at, row.event, row.target, detail_of(row.detail)) for row in records]
            newest = insert_events(
                connection, outbox.seq, [event for event in raised if event is not None], outbox.mail
            )
            connection.execute(update(event_outbox).values(audit_seq=records[-1].seq, seq=newest))
            return len(records)

    def skip(self) -> None:
        """Move the cursor to the newest record, if there is no webhook that could miss one."""
        head = select(audit_head.c.seq).scalar_subquery()
        nobody = ~exists(select(webhooks.c.id).where(_ENABLED)) & (event_outbox.c.mail == 0)
        with writing(self._engine) as connection:
            connection.execute(
                update(event_outbox).where(nobody, event_outbox.c.audit_seq < head).values(audit_seq=head)
            )

    def raise_events(self, events: Sequence[RaisedEvent]) -> int:
        """Raise events that no change is; those of a known key are raised already. How many were new."""
        if not events:
            return 0
        with writing(self._engine) as connection:
            return raise_now(connection, events)

    def chain_held(self, now: Instant) -> None:
        """Note that the chain of audit records was walked to its end and holds: once in a while, or after a fault."""
        mine = event_outbox.c
        walked_at = func.coalesce(mine.chain_walked_at, 0)
        news = mine.chain_fault.is_not(None) | (walked_at <= now - _NOTED_EVERY) | (walked_at > now)
        with reading(self._engine) as connection:
            if not connection.execute(select(news)).scalar_one():
                return
        with writing(self._engine) as connection:
            connection.execute(update(event_outbox).values(chain_walked_at=now, chain_fault=None))

    def chain_broke(self, fault: str) -> None:
        """Note what is wrong with it."""
        known = func.coalesce(event_outbox.c.chain_fault, "") == fault[:_MAX_ERROR]
        with writing(self._engine) as connection:
            connection.execute(update(event_outbox).where(~known).values(chain_fault=fault[:_MAX_ERROR]))

    def sweep_expiries(self, now: Instant) -> int:
        """Raise what follows from time alone since the last time; how many events."""
        return expiries.sweep(self._engine, now)

    def mail_to(self, mail: int) -> None:
        """Mail those whom the configuration names, from here on."""
        with writing(self._engine) as connection:
            connection.execute(update(event_outbox).where(event_outbox.c.mail != mail).values(mail=mail))

    def due_mail(self, now: Instant, limit: int) -> Sequence[Mail]:
        """Mail that is due, the oldest first; of one object and reader nothing behind a mail that is not due."""
        with reading(self._engine) as connection:
            query = self._due(now).where(_ROW.target.like(f"{TARGET}%")).limit(limit)
            found = sorted((as_delivery(row) for row in connection.execute(query)), key=lambda each: each.seq)
            people: dict[str, tuple[str, str]] = {}
            prefix = user_target("")
            ids = sorted({each.target.removeprefix(prefix) for each in found if each.target.startswith(prefix)})
            wanted = (
                select(users.c.id, users.c.email, console_preferences.c.language)
                .outerjoin(console_preferences, console_preferences.c.user_id == users.c.id)
                .where(users.c.id.in_(ids))
            )
            for row in connection.execute(wanted):
                people[user_target(row.id)] = (row.email or "", row.language or "")
        return [Mail(each, *people.get(each.target, ("", ""))) for each in found]

    def address(self, user_id: str) -> str:
        """The address that a user is mailed at; empty for none."""
        with reading(self._engine) as connection:
            return connection.execute(select(users.c.email).where(users.c.id == user_id)).scalar_one_or_none() or ""

    def due(self, now: Instant, limit: int) -> Sequence[tuple[Webhook, Sequence[Delivery]]]:
        """What is due at each webhook, the oldest first; nothing that comes behind an event that is not due."""
        found = []
        with reading(self._engine) as connection:
            for row in connection.execute(select(webhooks).where(_ENABLED).order_by(webhooks.c.id)).all():
                rows = connection.execute(self._due(now).where(_ROW.target == row.id).limit(limit))
                mine = sorted((as_delivery(each) for each in rows), key=lambda each: each.seq)
                if mine:
                    found.append((as_webhook(row), mine))
        return found

    @staticmethod
    def _due(now: Instant) -> Select[Any]:
        before = event_deliveries.alias("before").c
        blocked = exists(
            select(before.event_seq).where(
                before.state == PENDING,
                before.target == _ROW.target,
                before.object == _ROW.object,
                before.event_seq < _ROW.event_seq,
                before.next_at > now,
            )
        )
        query = deliveries_query().where(_ROW.state == PENDING, _ROW.next_at <= now, ~blocked)
        return query.order_by(_ROW.next_at, _ROW.event_seq)

    def record(self, delivery: Delivery, outcome: Outcome) -> None:
        """Keep what became of an attempt."""
        state = DELIVERED if outcome.delivered else PENDING if outcome.next_at is not None else DEAD
        mine = (_ROW.target == delivery.target, _ROW.event_seq == delivery.seq)
        error = outcome.error[:_MAX_ERROR]
        with writing(self._engine) as connection:
            kept = update(event_deliveries).where(*mine, _ROW.state == PENDING)
            done = connection.execute(
                kept.values(
                    state=state,
                    attempts=_ROW.attempts + 1,
                    next_at=outcome.next_at,
                    delivered_at=outcome.at if outcome.delivered else _ROW.delivered_at,
                    last_status=outcome.status,
                    last_error=error,
                )
            )
            if not done.rowcount:
                return  # deleted meanwhile, or told by another node
            if outcome.next_at is not None:
                # What waits behind it need not be looked at before.
                behind = (_ROW.target == delivery.target, _ROW.object == delivery.object, _ROW.state == PENDING)
                connection.execute(
                    update(event_deliveries)
                    .where(*behind, _ROW.event_seq > delivery.seq, _ROW.next_at < outcome.next_at)
                    .values(next_at=outcome.next_at)
                )
            each = delivery_attempts.c
            last = select(func.coalesce(func.max(each.number), 0)).where(
                each.target == delivery.target, each.event_seq == delivery.seq
            )
            number = connection.execute(last).scalar_one() + 1
            connection.execute(
                insert(delivery_attempts).values(
                    target=delivery.target,
                    event_seq=delivery.seq,
                    number=number,
                    at=outcome.at,
                    milliseconds=outcome.milliseconds,
                    status=outcome.status,
                    error=error,
                )
            )

    def forget(self, before: Instant, limit: int) -> int:
        """Delete events of before that are over, with their deliveries; how many."""
        waits = exists(select(_ROW.event_seq).where(_ROW.event_seq == events.c.seq, _ROW.state == PENDING))
        with writing(self._engine) as connection:
            query = select(events.c.seq).where(events.c.at < before, ~waits).order_by(events.c.at).limit(limit)
            old = list(connection.execute(query).scalars())
            for table in (delivery_attempts, event_deliveries):
                connection.execute(delete(table).where(table.c.event_seq.in_(old)))
            connection.execute(delete(events).where(events.c.seq.in_(old)))
        return len(old)
