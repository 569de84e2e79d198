"""Signed checkpoints: kept as they were published, each row sealed with the key of the chain (INV-19)."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

from sqlalchemy import Engine, insert, select

from authserver.audit import GENESIS, Record, digest, record_fault, seal_checkpoint, seal_head
from authserver.ports.console_reads.audit_checkpoints import Checkpoint, Walked
from authserver.ports.errors import Conflict, Unavailable
from authserver.store.accounts import SqlAccounts
from authserver.store.engine.connections import reading, writing
from authserver.store.tables import audit_checkpoints, audit_head

_NEWEST = select(audit_checkpoints).order_by(audit_checkpoints.c.number.desc())


class SqlAuditCheckpoints:
    """``ports.AuditCheckpoints``."""

    def __init__(self, engine: Engine, audit_key: bytes, accounts: SqlAccounts) -> None:
        self._engine, self._key, self._accounts = engine, audit_key, accounts

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint."""
        with reading(self._engine) as connection:
            row = connection.execute(_NEWEST.limit(1)).first()
        return None if row is None else self._checkpoint(row)

    def last(self, limit: int) -> Sequence[Checkpoint]:
        """The newest checkpoints, the newest first; a row that was altered is told as it is."""
        with reading(self._engine) as connection:
            return tuple(_as_checkpoint(row) for row in connection.execute(_NEWEST.limit(limit)))

    def after(self, number: int, limit: int) -> Sequence[Checkpoint]:
        """Checkpoints behind ``number``, the oldest first; a row that was altered is told as it is."""
        column = audit_checkpoints.c.number
        query = select(audit_checkpoints).where(column > number).order_by(column).limit(limit)
        with reading(self._engine) as connection:
            return tuple(_as_checkpoint(row) for row in connection.execute(query))

    def records(self) -> int:
        """How many records there are."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(audit_head.c.seq)).scalar_one())

    def walk(self, since: Checkpoint | None, most: int) -> Walked:
        """Verify the records behind a checkpoint, ``most`` at most."""
        with reading(self._engine) as connection:
            head = connection.execute(select(audit_head)).one()
        if not hmac.compare_digest(seal_head(self._key, head.seq, head.hash), str(head.seal)):
            raise Unavailable(_BROKEN.format(what="the seal of the head was altered"))
        seq, last, total = (0, GENESIS, GENESIS) if since is None else (since.seq, since.hash, since.digest)
        begin = seq
        for record in self._up_to(seq, min(most, head.seq - seq)):
            fault = record_fault(self._key, record, seq + 1, last)
            if fault:
                raise Unavailable(_BROKEN.format(what=f"record {seq + 1}: {fault}"))
            seq, last, total = record.seq, record.hash, digest(total, record)
        whole = seq == head.seq
        if (whole and last != head.hash) or (not whole and seq - begin < most):
            raise Unavailable(_BROKEN.format(what="the records do not end where the head says"))
        return Walked(seq, last, total, seq - begin, whole)

    def _up_to(self, after: int, number: int) -> Iterator[Record]:
        return self._accounts.audit_records(after, limit=number) if number > 0 else iter(())

    def insert(self, checkpoint: Checkpoint) -> bool:
        """Put the next checkpoint on record; False when another node was first."""
        values = asdict(checkpoint)
        seal = seal_checkpoint(self._key, tuple(values.values()))
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(audit_checkpoints).values(**values, seal=seal))
        except Conflict:
            return False
        return True

    def _checkpoint(self, row: Any) -> Checkpoint:
        found = _as_checkpoint(row)
        if not hmac.compare_digest(seal_checkpoint(self._key, astuple(found)), str(row.seal)):
            raise Unavailable(f"checkpoint {found.number} of the audit trail was altered in the database")
        return found


_BROKEN = "the audit chain does not hold, so no checkpoint is signed: {what}; `flask audit verify` walks all of it"


def _as_checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(*(getattr(row, each.name) for each in fields(Checkpoint)))
