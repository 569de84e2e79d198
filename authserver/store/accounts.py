"""Reads users, roles, credentials, resource servers and settings; ``change`` is the only way to write them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Select, func, select

from authserver.audit import GENESIS, Event, Record, Verdict, seal_head, verify
from authserver.ports.credentials import Credential, KeyRecord
from authserver.ports.general_settings import GeneralSettings
from authserver.ports.resource_servers import ResourceServer
from authserver.ports.transaction import ChangeRequest
from authserver.ports.users import Role, User
from authserver.rules.facts import Instant
from authserver.store.engine.connections import reading, writing
from authserver.store.rows.accounts import (
    as_credentials,
    as_resource_server,
    as_role,
    as_users,
    credentials_query,
    find_credential,
    find_general,
    find_resource_server,
    find_user,
    of_owner,
    server_keys_of,
)
from authserver.store.rows.idempotency_keys import insert_key, require_first
from authserver.store.tables import audit, audit_head, credentials, resource_servers, roles, settings, users
from authserver.store.transaction import SqlTransaction

_UNCONDITIONAL = ChangeRequest()
_BATCH = 500
_LOWEST_SEQ = -(2**62)
"""Below every number, so that a forged record before the first is found as well."""


class SqlAccounts:
    """``ports.Accounts``."""

    def __init__(self, engine: Engine, audit_key: bytes, request: ChangeRequest = _UNCONDITIONAL) -> None:
        self._engine = engine
        self._audit_key = audit_key
        self._request = request

    def requested_by(self, request: ChangeRequest) -> "SqlAccounts":
        """A copy whose changes carry ``request``: where they came from, its precondition and its idempotency key."""
        return SqlAccounts(self._engine, self._audit_key, request)

    @contextmanager
    def change(self, event: Event, at: Instant) -> Iterator[SqlTransaction]:
        """Open the only kind of transaction that writes; commits the audit record with it."""
        with writing(self._engine) as connection:
            request, key = self._request, self._request.idempotency_key
            transaction = SqlTransaction(connection, event, at, self._audit_key, request)
            if key is not None:
                require_first(connection, key)
            if request.precondition is not None:
                request.precondition(transaction)
            yield transaction
            transaction.write_record()
            if key is not None:
                insert_key(connection, key, transaction.target, at)

    def user(self, username: str) -> User:
        """Find a user by name."""
        with reading(self._engine) as connection:
            return find_user(connection, username)

    def users(self) -> Sequence[User]:
        """All users by name."""
        with reading(self._engine) as connection:
            return as_users(connection, connection.execute(select(users).order_by(users.c.folded_username)).all())

    def roles(self) -> Sequence[Role]:
        """All live roles by name."""
        with reading(self._engine) as connection:
            query = select(roles).where(roles.c.deleted_at.is_(None)).order_by(roles.c.name)
            return tuple(as_role(row) for row in connection.execute(query))

    def credential(self, client_id: str, owner_id: str | None = None) -> Credential:
        """Find a credential; with ``owner_id`` only that owner's."""
        with reading(self._engine) as connection:
            return find_credential(connection, client_id, owner_id)

    def credentials(self, owner_id: str | None = None) -> Sequence[Credential]:
        """All credentials that are not deleted, newest first."""
        owned = of_owner(owner_id)
        query = credentials_query().where(owned, credentials.c.deleted_at.is_(None))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(credentials.c.created_at.desc(), credentials.c.client_id)).all()
            return as_credentials(connection, rows, owned)

    def resource_servers(self) -> Sequence[ResourceServer]:
        """All resource servers by name."""
        with reading(self._engine) as connection:
            query = select(resource_servers).order_by(resource_servers.c.name)
            return tuple(as_resource_server(row) for row in connection.execute(query))

    def server_keys(self, name: str) -> Sequence[KeyRecord]:
        """All public keys of a resource server, newest first."""
        with reading(self._engine) as connection:
            return server_keys_of(connection, find_resource_server(connection, name).client_id)

    def general(self) -> GeneralSettings:
        """The general settings."""
        with reading(self._engine) as connection:
            return find_general(connection)

    def audit_records(self, after: int = 0, limit: int | None = None, **only: str) -> Iterator[Record]:
        """Audit records in their order that follow ``after``; ``only`` those of an event, actor or target."""
        while limit is None or limit > 0:
            batch = self._audit_page(after, _BATCH if limit is None else min(limit, _BATCH), only)
            # No transaction is open here: a slow consumer holds no connection.
            yield from batch
            if len(batch) < _BATCH:
                return
            after, limit = batch[-1].seq, None if limit is None else limit - len(batch)

    def _audit_page(self, after: int, limit: int, only: Mapping[str, str]) -> Sequence[Record]:
        query = _audit_query(only).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        with reading(self._engine) as connection:
            return [as_record(row) for row in connection.execute(query)]

    def audit_newest(self, limit: int, **only: str) -> Sequence[Record]:
        """The newest audit records, in their order."""
        query = _audit_query(only).order_by(audit.c.seq.desc()).limit(limit)
        with reading(self._engine) as connection:
            return tuple(as_record(row) for row in reversed(connection.execute(query).all()))

    def audit_verify(self) -> Verdict:
        """Verify the whole chain up to the record that was the newest at the start; changes may go on meanwhile."""
        while True:
            head, _ = self._head()
            verdict = verify(self._audit_key, self._records_up_to(head.seq), head.seq, head.hash, head.seal)
            newest, beyond = self._head()
            if verdict.first_bad is not None or not beyond:
                return verdict
            if newest.seq == head.seq:
                return Verdict(head.seq, head.seq + 1, "is newer than the sealed head of the chain")

    def _records_up_to(self, seq: int) -> Iterator[Record]:
        return self.audit_records(_LOWEST_SEQ, limit=seq) if seq else iter(())

    def _head(self) -> tuple[Any, bool]:
        """The head, and whether there are records after it, which only a forger can make."""
        with reading(self._engine) as connection:
            head = connection.execute(select(audit_head)).one()
            newest = connection.execute(select(func.max(audit.c.seq))).scalar_one()
        return head, (newest or 0) > head.seq

    def ping(self) -> None:
        """Read one row, or raise ``Unavailable``."""
        with reading(self._engine) as connection:
            connection.execute(select(settings.c.epoch)).one()


def genesis_head(audit_key: bytes) -> dict[str, Any]:
    """The head of an empty chain."""
    return {"id": 1, "seq": 0, "hash": GENESIS, "seal": seal_head(audit_key, 0, GENESIS), "kill_seq": 0}


def _audit_query(only: Mapping[str, str]) -> Select[Any]:
    return select(audit).where(*(audit.c[column] == value for column, value in only.items()))


def as_record(row: Any) -> Record:
    """One row of ``audit``."""
    return Record(row.seq, row.at, row.actor, row.event, row.target, row.detail, row.previous_hash, row.hash)
