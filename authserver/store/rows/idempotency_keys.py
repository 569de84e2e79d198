"""Which requests had their effect, by the key they may be sent again with (INV-23)."""

import hashlib

from sqlalchemy import Connection, insert, select

from authserver.ports.errors import AlreadyDone, KeyReused
from authserver.ports.transaction import IdempotencyKey
from authserver.rules.facts import Instant
from authserver.store.tables import idempotency_keys


def require_first(connection: Connection, key: IdempotencyKey) -> None:
    """Raise ``AlreadyDone`` when the request had its effect before, ``KeyReused`` when another one had."""
    known = select(idempotency_keys.c.fingerprint, idempotency_keys.c.subject).where(
        idempotency_keys.c.scope == key.scope, idempotency_keys.c.key_hash == _hash(key)
    )
    before = connection.execute(known).first()
    if before is not None:
        raise AlreadyDone(before.subject) if before.fingerprint == key.fingerprint else KeyReused


def insert_key(connection: Connection, key: IdempotencyKey, subject: str, at: Instant) -> None:
    """Note that the request has its effect, on ``subject``, with this transaction."""
    values = {"scope": key.scope, "key_hash": _hash(key), "fingerprint": key.fingerprint, "subject": subject, "at": at}
    connection.execute(insert(idempotency_keys).values(values))


def _hash(key: IdempotencyKey) -> str:
    return hashlib.sha256(key.key.encode("utf-8", "surrogatepass")).hexdigest()
