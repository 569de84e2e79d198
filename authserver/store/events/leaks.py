"""Rows of those who may report leaks, and the secret that a hash belongs to."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from authserver.ports.errors import Conflict
from authserver.ports.events.leaks import LeakedSecret, LeakReporter
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading
from authserver.store.tables import credentials, leak_reporters, secrets


class SqlLeakReads:
    """``ports.LeakReads``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reporters(self) -> Sequence[LeakReporter]:
        """All who may report, by name."""
        query = select(leak_reporters).order_by(leak_reporters.c.name, leak_reporters.c.identifier)
        with reading(self._engine) as connection:
            return tuple(_as_reporter(row) for row in connection.execute(query))

    def reporter(self, identifier: str) -> LeakReporter | None:
        """Who has the key of this identifier; None for nobody."""
        query = select(leak_reporters).where(leak_reporters.c.identifier == identifier)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else _as_reporter(row)

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, LeakedSecret]:
        """The secrets of credentials that have one of these keyed hashes."""
        query = (
            select(secrets.c.hash, secrets.c.client_id, secrets.c.id, secrets.c.ends_at)
            .join(credentials, credentials.c.client_id == secrets.c.client_id)
            .where(secrets.c.hash.in_(hashes), secrets.c.public_jwk.is_(None))
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {bytes(row.hash): LeakedSecret(row.client_id, row.id, row.ends_at) for row in rows}


class SqlLeakChanges:
    """``ports.LeakChanges``: within the connection of one change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert_reporter(self, reporter: LeakReporter) -> None:
        """Believe reports by a key; ``Conflict`` when its identifier is known."""
        known = select(leak_reporters.c.identifier).where(leak_reporters.c.identifier == reporter.identifier)
        if self._connection.execute(known).first():
            msg = f"there is a key {reporter.identifier!r} already; remove it first"
            raise Conflict(msg)
        values = {name: getattr(reporter, name) for name in reporter.__slots__}
        self._connection.execute(insert(leak_reporters).values(values))

    def delete_reporter(self, identifier: str) -> bool:
        """Believe them no more; False when the key is unknown."""
        gone = delete(leak_reporters).where(leak_reporters.c.identifier == identifier)
        return self._connection.execute(gone).rowcount > 0

    def end_secret(self, client_id: str, secret_id: str, at: Instant) -> bool:
        """End one secret at once, and with it its tokens; False when it had ended."""
        lives = (secrets.c.ends_at.is_(None)) | (secrets.c.ends_at > at)
        mine = (secrets.c.client_id == client_id, secrets.c.id == secret_id, lives)
        return self._connection.execute(update(secrets).where(*mine).values(ends_at=at)).rowcount > 0


def _as_reporter(row: Any) -> LeakReporter:
    return LeakReporter(row.identifier, row.name, row.public_key, row.created_at)
