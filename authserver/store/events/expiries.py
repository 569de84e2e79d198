"""Raises what follows from time alone: each instant is swept over once, in the transaction that says so."""

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, select, update

from authserver.rules.events.catalogue import WARNING_DAYS, RaisedEvent, expiry_event
from authserver.rules.facts import Instant
from authserver.rules.lifetime import DAY
from authserver.store.engine.connections import writing
from authserver.store.events.raising import insert_events, lock_outbox
from authserver.store.tables import credentials, event_outbox

_PART = 500
LONGEST_GAP = 7 * DAY
"""What came about longer ago, while nobody swept, is not told any more."""


def sweep(engine: Engine, now: Instant) -> int:
    """Raise the events of credentials that came within 30, 7 or 1 days of their expiry, or expired; how many."""
    with writing(engine) as connection:
        outbox = lock_outbox(connection)
        newest = outbox.seq
        if outbox.swept_at:  # the first time nothing is told: all of it is long known
            raised = list(_raised(connection, max(outbox.swept_at, now - LONGEST_GAP), now))
            for begin in range(0, len(raised), _PART):
                newest = insert_events(connection, newest, raised[begin : begin + _PART], outbox.mail)
        connection.execute(update(event_outbox).values(seq=newest, swept_at=max(now, outbox.swept_at)))
        return int(newest - outbox.seq)


def _raised(connection: Connection, since: Instant, now: Instant) -> Iterator[RaisedEvent]:
    """What came about behind ``since``, up to ``now``."""
    each = credentials.c
    for days in (*WARNING_DAYS, 0):
        ahead = days * DAY
        query = select(each.client_id, each.expires_at, each.created_at).where(
            each.expires_at > since + ahead,
            each.expires_at <= now + ahead,
            each.deleted_at.is_(None),
            each.disabled_at.is_(None),
            # Whoever makes one that ends in 7 days knows.
            each.created_at < each.expires_at - ahead,
        )
        for row in connection.execute(query):
            yield expiry_event(row.client_id, row.expires_at, days, row.expires_at - ahead)
