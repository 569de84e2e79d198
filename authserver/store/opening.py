"""Open a store: check the schema and the master key, and put the rooms together."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from weakref import WeakSet

from sqlalchemy import Engine, insert, select

from authserver.ports import Clock, Unavailable
from authserver.store.accounts import SqlAccounts, genesis_head
from authserver.store.activity import SqlActivity
from authserver.store.audit_reads import SqlAuditReads
from authserver.store.credential_reads import SqlCredentialReads
from authserver.store.ending_reads import SqlEndingReads
from authserver.store.engine import one_instant, reading, writing
from authserver.store.hot_reads import SqlHotReads
from authserver.store.people_reads import SqlPeopleReads
from authserver.store.prepared import HeldConnections
from authserver.store.schema import schema_fault
from authserver.store.session_rows import SqlSessions
from authserver.store.sign_in_tries import SqlSignInTries
from authserver.store.sign_ins import SqlSignIns
from authserver.store.signing_key_rows import SqlSigningKeys
from authserver.store.tables import audit_head, settings, vault
from authserver.store.token_reads import SqlTokenReads
from authserver.store.verifier_rows import SqlVerifiers
from keys.holders import DatabaseHolder, KeyHolder
from keys.master import MasterKey

_AUDIT, _PEPPER = "audit", "pepper"
_DEFAULTS = {
    "id": 1,
    "idle_timeout_minutes": 30,
    "max_token_lifetime_minutes": 720,
    "max_credential_days": 365,
    "max_credentials_per_user": 50,
    "token_alg": "ES256",
    "epoch": 1,
    "used_since": 0,
    "issued_since": 0,
    "key_rotation_days": 0,
    "key_announcement_hours": 24,
    "key_patience_hours": 168,
    "post_quantum": 0,
}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Store:
    """Everything on disk; ``pepper`` is the key secrets are hashed with."""

    accounts: SqlAccounts
    sessions: SqlSessions
    activity: SqlActivity
    hot: SqlHotReads
    keys: SqlSigningKeys
    sign_ins: SqlSignIns
    tries: SqlSignInTries
    credential_reads: SqlCredentialReads
    people_reads: SqlPeopleReads
    audit_reads: SqlAuditReads
    verifiers: SqlVerifiers
    token_reads: SqlTokenReads
    ending_reads: SqlEndingReads
    pepper: bytes
    held: HeldConnections
    engine: Engine

    def one_instant(self) -> AbstractContextManager[None]:
        """Let the reads meanwhile share one transaction, until something is written."""
        return one_instant(self.engine)

    def asked_from(self, peer: str) -> "Store":
        """The same store; what is changed through it is on record as asked for from the address ``peer``."""
        accounts = self.accounts.asked_from(peer)
        return replace(self, accounts=accounts, keys=self.keys.asked_from(accounts))

    def close(self) -> None:
        """Write what is noted and close every connection, also when that cannot be written.

        Raises:
            Unavailable: the last notes are lost.
        """
        with ExitStack() as closing:
            closing.callback(self.engine.dispose)
            closing.callback(self.held.close)
            closing.callback(self.verifiers.flush)
            closing.callback(self.activity.close)

    def after_fork(self) -> None:
        """Let go, in a child process, of everything that is the parent's."""
        self.activity.after_fork()
        self.verifiers.after_fork()
        self.held.close()
        self.engine.dispose(close=False)


_OPENED: WeakSet[Store] = WeakSet()


def _after_fork() -> None:
    for store in list(_OPENED):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def open_store(
    engine: Engine,
    master: MasterKey,
    clock: Clock,
    *,
    background: bool = True,
    holders: Mapping[str, KeyHolder] | None = None,
) -> Store:
    """Open a migrated database, furnishing it on first sight.

    Raises:
        Unavailable: the database cannot be reached, or its schema is not this program's.
        WrongMasterKey: the database was sealed under another master key.
    """
    fault = schema_fault(engine)
    if fault:
        raise Unavailable(fault)
    sealed = _vault(engine, master)
    audit_key, pepper = (master.open(f"vault:{purpose}", sealed[purpose]) for purpose in (_AUDIT, _PEPPER))
    held = HeldConnections(engine)
    accounts = SqlAccounts(engine, audit_key)
    store = Store(
        accounts=accounts,
        sessions=SqlSessions(engine, held),
        activity=SqlActivity(engine, background=background),
        hot=SqlHotReads(held, clock),
        keys=SqlSigningKeys(engine, held, accounts, master, holders or {"database": DatabaseHolder(master)}),
        verifiers=SqlVerifiers(engine, held),
        sign_ins=SqlSignIns(engine),
        tries=SqlSignInTries(engine),
        credential_reads=SqlCredentialReads(engine),
        people_reads=SqlPeopleReads(engine),
        audit_reads=SqlAuditReads(engine, audit_key),
        token_reads=SqlTokenReads(engine),
        ending_reads=SqlEndingReads(engine),
        pepper=pepper,
        held=held,
        engine=engine,
    )
    _OPENED.add(store)
    return store


def _vault(engine: Engine, master: MasterKey) -> dict[str, bytes]:
    with reading(engine) as connection:
        found = {row.purpose: bytes(row.sealed) for row in connection.execute(select(vault))}
    if found:
        return found
    fresh = {purpose: os.urandom(32) for purpose in (_AUDIT, _PEPPER)}
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE vault IN EXCLUSIVE MODE")
        found = {row.purpose: bytes(row.sealed) for row in connection.execute(select(vault))}
        if found:
            return found
        for purpose, plain in fresh.items():
            found[purpose] = master.seal(f"vault:{purpose}", plain)
            connection.execute(insert(vault).values(purpose=purpose, sealed=found[purpose]))
        connection.execute(insert(settings).values(**_DEFAULTS))
        connection.execute(insert(audit_head).values(**genesis_head(fresh[_AUDIT])))
    return found


__all__ = ["Store", "Unavailable", "open_store"]
