"""The activity clock: uses are noted in memory and written once a second in one batch.

A use must be readable by every node before any node could judge the token idle,
so a note may wait a second at most; when the database does not take notes for
longer than ``MAX_WAIT_SECONDS`` no further use is acknowledged (INV-25). A crash
loses at most the notes of the last second (INV-06).
"""

import threading
import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, and_, bindparam, or_, update

from authserver.ports import Refusal, Unavailable
from authserver.rules.claims import SessionStart
from authserver.rules.facts import Instant
from authserver.store.engine import writing
from authserver.store.session_rows import greatest, insert_for, use_statement
from authserver.store.tables import secrets, usage

FLUSH_SECONDS = 1.0
MAX_WAIT_SECONDS = 10.0
_DAY = 24 * 3600

_UsageKey = tuple[int, str, str, str, str, str]


class SqlActivity:
    """``ports.ActivityClock``; the writing thread starts with the first note."""

    def __init__(self, engine: Engine, *, background: bool = True) -> None:
        self._engine = engine
        dialect = engine.dialect.name
        self._use = use_statement(dialect)
        added = insert_for(dialect)(usage).values({name: bindparam(name) for name in usage.c.keys()})  # noqa: SIM118
        self._usage = added.on_conflict_do_update(
            index_elements=list(usage.primary_key),
            set_={
                "uses": usage.c.uses + added.excluded.uses,
                "last_used_at": greatest(dialect)(usage.c.last_used_at, added.excluded.last_used_at),
            },
        )
        self._secret = (
            update(secrets)
            .where(
                and_(
                    secrets.c.id == bindparam("b_id"),
                    or_(secrets.c.last_used_at.is_(None), secrets.c.last_used_at < bindparam("b_at")),
                )
            )
            .values(last_used_at=bindparam("b_at"))
        )
        self._background = background
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._oldest: float | None = None
        self._notes: dict[str, tuple[SessionStart, Instant]] = {}
        self._in_flight: dict[str, tuple[SessionStart, Instant]] = {}
        self._counts: dict[_UsageKey, tuple[int, Instant]] = {}
        self._secrets: dict[str, Instant] = {}

    def issued(self, start: SessionStart) -> None:
        """Note a new session; the token is valid even if this note is lost."""
        with self._lock:
            self._notes.setdefault(start.jti, (start, start.issued_at))
            self._secrets[start.secret_id] = max(start.issued_at, self._secrets.get(start.secret_id, 0))
            self._noted()

    def used(self, start: SessionStart, at: Instant, *, by: str, method: str, route: str) -> None:
        """Note a use; an older instant never moves a newer one back.

        Raises:
            Unavailable: earlier notes could not be written for too long.
        """
        key = (at - at % _DAY, start.client_id, start.secret_id, by, method, route)
        with self._lock:
            if self._oldest is not None and time.monotonic() - self._oldest > MAX_WAIT_SECONDS:
                msg = "uses cannot be recorded now"
                raise Unavailable(msg)
            noted = self._notes.get(start.jti)
            if noted is None or noted[1] < at:
                self._notes[start.jti] = (start, at)
            uses, last = self._counts.get(key, (0, 0))
            self._counts[key] = (uses + 1, max(last, at))
            self._noted()

    def last_used(self, jti: str) -> Instant | None:
        """The newest use noted here and perhaps not yet written."""
        noted = self._notes.get(jti) or self._in_flight.get(jti)
        return noted[1] if noted else None

    def flush(self) -> None:
        """Write what is noted, in one transaction; on failure everything stays noted."""
        with self._flushing:
            with self._lock:
                notes, counts, used, oldest = self._notes, self._counts, self._secrets, self._oldest
                self._notes, self._counts, self._secrets, self._oldest = {}, {}, {}, None
                self._in_flight = notes
            if not (notes or counts or used):
                return
            try:
                self._write(notes, counts, used)
            except BaseException:
                with self._lock:
                    self._put_back(notes, counts, used)
                    self._oldest = oldest
                raise
            finally:
                self._in_flight = {}

    def _write(
        self,
        notes: dict[str, tuple[SessionStart, Instant]],
        counts: dict[_UsageKey, tuple[int, Instant]],
        used: dict[str, Instant],
    ) -> None:
        # One order for all nodes, so that two batches never wait for each other in a ring.
        rows: list[dict[str, Any]] = [
            {**asdict(start), "last_used_at": at} for _, (start, at) in sorted(notes.items(), key=lambda item: item[0])
        ]
        names = usage.c.keys()
        with writing(self._engine) as connection:
            if rows:
                connection.execute(self._use, rows)
            if used:
                connection.execute(self._secret, [{"b_id": key, "b_at": at} for key, at in sorted(used.items())])
            if counts:
                connection.execute(
                    self._usage,
                    [dict(zip(names, (*key, *value), strict=True)) for key, value in sorted(counts.items())],
                )

    def _put_back(
        self,
        notes: dict[str, tuple[SessionStart, Instant]],
        counts: dict[_UsageKey, tuple[int, Instant]],
        used: dict[str, Instant],
    ) -> None:
        for jti, (start, at) in notes.items():
            newer = self._notes.get(jti)
            if newer is None or newer[1] < at:
                self._notes[jti] = (start, at)
        for key, (uses, last) in counts.items():
            more, later = self._counts.get(key, (0, 0))
            self._counts[key] = (uses + more, max(last, later))
        for secret, at in used.items():
            self._secrets[secret] = max(at, self._secrets.get(secret, 0))

    def _noted(self) -> None:
        if self._oldest is None:
            self._oldest = time.monotonic()
        if self._background and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._wake.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except (Unavailable, Refusal):
                continue

    def close(self) -> None:
        """Stop the thread and write what is left."""
        self._wake.set()
        if self._thread is not None:
            self._thread.join(FLUSH_SECONDS * 5)
        self.flush()
