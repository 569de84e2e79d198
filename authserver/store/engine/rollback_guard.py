"""Remembers, outside the database, how new the database was: one that is older now came from a backup (INV-03).

Each machine keeps one small file for each database: a number that it counts up in a row
of its own, the newest audit record it saw, and how many ends it saw listed. A database where
the row is behind the file, or where that record is missing or another one, or where fewer
ends are listed, lost what was committed: a backup was restored, or a standby that lagged was
promoted. It is asked every second, and on each new connection before anything else.

What is written goes into the database first and into the file behind it, so a crash
between the two never raises a false alarm. Without a file there is nothing to compare.
"""

import fcntl
import hashlib
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import bindparam, select

from authserver.rules.facts import Instant
from authserver.store.engine.batch_statements import greatest, insert_for
from authserver.store.engine.prepared import PreparedStatement, ThreadConnections
from authserver.store.tables import audit, audit_head, settings, witnesses

_LOCKED = threading.local()


@dataclass(frozen=True, slots=True)
class Watermark:
    """How new the database is known to have been."""

    node: str
    number: int
    seq: int
    hash: str
    epoch: int
    kills: int = 0
    """The newest entry in the list of what ended; 0 in a mark of a version without it."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The database is older than the mark; ``epoch`` is the one of the mark."""

    reason: str
    epoch: int


class RollbackGuard:
    """One machine's memory of one database; ``secret`` is the same in every copy of it and in no other."""

    def __init__(self, held: ThreadConnections, directory: Path, secret: bytes) -> None:
        name = hashlib.sha256(b"witness" + secret).hexdigest()[:16]
        self._path = directory / f"witness-{name}.json"
        number = select(witnesses.c.number).where(witnesses.c.node == bindparam("node"))
        same = select(audit.c.hash).where(audit.c.seq == bindparam("seq"))
        self._now = PreparedStatement(
            held,
            select(
                number.scalar_subquery(),
                same.scalar_subquery(),
                audit_head.c.seq,
                audit_head.c.hash,
                settings.c.epoch,
                audit_head.c.kill_seq,
            ).select_from(audit_head.join(settings, settings.c.id == audit_head.c.id)),
        )
        dialect = held.dialect.name
        added = insert_for(dialect)(witnesses).values({each.name: bindparam(each.name) for each in witnesses.c})
        self._count = PreparedStatement(
            held,
            added.on_conflict_do_update(
                index_elements=["node"],
                set_={
                    "number": greatest(dialect)(witnesses.c.number, added.excluded.number),
                    "at": added.excluded.at,
                },
            ),
        )

    @property
    def known(self) -> bool:
        """Whether this machine has seen the database before."""
        return self._path.exists()

    def check(self) -> RolledBack | None:
        """Compare the database with the mark.

        Raises:
            Unavailable: the database cannot be reached.
        """
        mark = self._read_watermark()  # before the database is read: what it says was committed before
        if mark is None:
            return None
        number, current_hash, seq, _, epoch, kills = self._read(mark)
        if epoch > mark.epoch:
            return None  # an operator raised the epoch after the restore
        conditions = {
            f"its epoch is {epoch}, and was {mark.epoch}": epoch < mark.epoch,
            f"this machine counted to {mark.number} in it, and it says {number}": (number or mark.number) < mark.number,
            f"it had {mark.seq} audit records, and has {seq}": seq < mark.seq,
            f"{mark.kills} ends were on its list, and {kills} are": kills < mark.kills,
            f"audit record {mark.seq} is not the one it was": bool(mark.seq) and current_hash != mark.hash,
        }
        reason = next((text for text, true in conditions.items() if true), None)
        return RolledBack(reason, mark.epoch) if reason else None

    def record(self, *, count_at: Instant | None = None) -> None:
        """Write down how new the database is; with an instant, also count up in it then.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self._file_lock():
            mark = self._read_watermark() or Watermark(uuid.uuid4().hex, 0, 0, "", 0)
            number, _, seq, last, epoch, kills = self._read(mark)
            counted = max(number or 0, mark.number if epoch == mark.epoch else 0)
            new_mark = Watermark(mark.node, counted + (count_at is not None), seq, last, epoch, kills)
            if count_at is not None:
                self._count.write({"node": new_mark.node, "number": new_mark.number, "at": count_at})
            if new_mark != mark:
                self._write(new_mark)

    def _read(self, mark: Watermark) -> tuple[int | None, str | None, int, str, int, int]:
        row = self._now.rows({"node": mark.node, "seq": mark.seq})[0]
        return row[0], row[1], row[2], row[3], row[4], row[5]

    def _read_watermark(self) -> Watermark | None:
        try:
            return Watermark(**json.loads(self._path.read_text(encoding="ascii")))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, mark: Watermark) -> None:
        new_mark = self._path.with_suffix(f".{os.getpid()}.new")
        with new_mark.open("w", encoding="ascii") as file:
            file.write(json.dumps(asdict(mark)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new_mark.replace(self._path)

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        """Lock the file: one process of this machine at a time; a thread that has it goes on.

        While a mark is recorded the connection may break, and a new one is checked, which records another.
        """
        if getattr(_LOCKED, "path", None) == self._path:
            yield
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _LOCKED.path = self._path
            try:
                yield
            finally:
                _LOCKED.path = None
