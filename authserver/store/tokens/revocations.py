"""What ended, in the order it was committed, for a change feed to read.

Numbers are taken from ``audit_head`` under its row lock, so a reader that has
seen number n will never see a smaller one appear later. Whoever writes here, or
changes anything administrative, takes that lock before any other.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from authserver.rules.facts import Instant
from authserver.store.engine.clock import milliseconds
from authserver.store.tables import audit_head, kills

Revocation = tuple[str, str, Instant, int]
"""Kind, subject, instant, value."""


def lock_head(connection: Connection) -> Any:
    """Wait for the turn of this transaction in the one queue of changes; the head as it stands."""
    return connection.execute(select(audit_head).with_for_update()).one()


def append_revocations(connection: Connection, last: int, noted: Sequence[Revocation]) -> int:
    """Append rows behind number ``last``; the new last number, which the caller writes to the head."""
    if noted:
        rows = [
            {"seq": number, "kind": kind, "subject": subject, "at": at, "value": value}
            for number, (kind, subject, at, value) in enumerate(noted, start=last + 1)
        ]
        named: dict[str, Any] = {name: bindparam(name) for name in rows[0]}
        stamped = insert(kills).values(**named, stamped_ms=milliseconds(connection.dialect.name))
        connection.execute(stamped, rows)
    return last + len(noted)
