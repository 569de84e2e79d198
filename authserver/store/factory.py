"""Open a store: check the schema and the master key, and build its parts."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from weakref import WeakSet

from sqlalchemy import Engine, insert, select

from authserver.ports.clock import Clock
from authserver.ports.errors import Unavailable
from authserver.ports.transaction import ChangeRequest
from authserver.store.accounts import SqlAccounts, genesis_head
from authserver.store.audit.checkpoints import SqlAuditCheckpoints
from authserver.store.audit.reads import SqlAuditReads
from authserver.store.credentials.expiring_reads import SqlExpiringReads
from authserver.store.credentials.old_secrets import SqlOldSecretReads
from authserver.store.credentials.reads import SqlCredentialReads
from authserver.store.credentials.shared_secrets import SqlSharedSecretReads
from authserver.store.engine.connections import reading, shared_snapshot, writing
from authserver.store.engine.prepared import ThreadConnections
from authserver.store.engine.schema import schema_fault
from authserver.store.events.leaks import SqlLeakReads
from authserver.store.events.networks import SqlSecretNetworks
from authserver.store.events.outbox import SqlOutbox
from authserver.store.events.unused import SqlUnusedReads
from authserver.store.events.webhooks import SqlWebhookReads
from authserver.store.shared_signals.event_streams import SqlEventStreams
from authserver.store.sign_in.attempts import SqlLoginAttemptCounter
from authserver.store.sign_in.sessions import SqlSignIns
from authserver.store.signing_keys.jwks_fetchers import SqlJwksFetchers
from authserver.store.signing_keys.keys import SqlSigningKeys
from authserver.store.statistics import SqlStatistics
from authserver.store.tables import audit_head, settings, vault
from authserver.store.tokens.change_feed import SqlChangeReads
from authserver.store.tokens.feed_fetches import SqlFeedFetches
from authserver.store.tokens.hot_path import SqlHotPathReads
from authserver.store.tokens.kill_reads import SqlKillReads
from authserver.store.tokens.one_time_ids import SqlOneTimeIds
from authserver.store.tokens.reads import SqlTokenReads
from authserver.store.tokens.sessions import SqlSessions
from authserver.store.tokens.token_limits import SqlTokenLimits
from authserver.store.tokens.usage_buffer import SqlUsageBuffer
from authserver.store.tokens.usage_reports import SqlUsageReports
from authserver.store.user_reads import SqlUserReads
from keys.key_stores import KeyStore
from keys.key_stores.database import DatabaseKeyStore
from keys.master import MasterKey

_AUDIT, _PEPPER = "audit", "pepper"
DEFAULT_SETTINGS = {
    # Of a new installation; one that exists keeps what it has.
    "id": 1,
    "idle_timeout_minutes": 30,
    "max_token_lifetime_minutes": 720,
    "max_credential_days": 365,
    "max_credentials_per_user": 50,
    "token_alg": "ES256",
    "epoch": 1,
    "used_since": 0,
    "issued_since": 0,
    "key_rotation_days": 90,
    "key_announcement_hours": 24,
    "key_patience_hours": 168,
    "post_quantum": 0,
    "session_retention_days": 30,
    "client_secrets_allowed": 1,
    "bound_tokens_required": 0,
    "self_rotation": 0,
    "unused_disable_days": 0,
    "secret_notice_days": 0,
    "old_secret_silent_hours": 0,
    "usage_retention_days": 400,
}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Store:
    """Everything on disk; ``pepper`` is the key secrets are hashed with."""

    accounts: SqlAccounts
    sessions: SqlSessions
    usage: SqlUsageBuffer
    usage_reports: SqlUsageReports
    changes: SqlChangeReads
    kill_reads: SqlKillReads
    feed_fetches: SqlFeedFetches
    event_streams: SqlEventStreams
    hot_path: SqlHotPathReads
    one_time_ids: SqlOneTimeIds
    token_limits: SqlTokenLimits
    keys: SqlSigningKeys
    sign_ins: SqlSignIns
    login_attempts: SqlLoginAttemptCounter
    credential_reads: SqlCredentialReads
    shared_secrets: SqlSharedSecretReads
    user_reads: SqlUserReads
    audit_reads: SqlAuditReads
    checkpoints: SqlAuditCheckpoints
    jwks_fetchers: SqlJwksFetchers
    token_reads: SqlTokenReads
    expiring_reads: SqlExpiringReads
    webhooks: SqlWebhookReads
    outbox: SqlOutbox
    leaks: SqlLeakReads
    unused: SqlUnusedReads
    old_secrets: SqlOldSecretReads
    secret_networks: SqlSecretNetworks
    statistics: SqlStatistics
    pepper: bytes
    thread_connections: ThreadConnections
    engine: Engine

    def shared_snapshot(self) -> AbstractContextManager[None]:
        """Let the reads meanwhile share one transaction, until something is written."""
        return shared_snapshot(self.engine)

    def requested_by(self, request: ChangeRequest) -> "Store":
        """The same store; its changes are recorded and made as ``request`` says."""
        accounts = self.accounts.requested_by(request)
        keys, streams = self.keys.requested_from(accounts), self.event_streams.requested_from(accounts)
        return replace(self, accounts=accounts, keys=keys, event_streams=streams)

    def requested_from(self, peer: str) -> "Store":
        """The same store; its changes are recorded as requested from the address ``peer``."""
        return self.requested_by(ChangeRequest(peer))

    def close(self) -> None:
        """Write the buffered uses and close every connection, also when they cannot be written.

        Raises:
            Unavailable: the uses buffered last are lost.
        """
        with ExitStack() as closing:
            closing.callback(self.engine.dispose)
            closing.callback(self.thread_connections.close)
            closing.callback(self.one_time_ids.close)
            for counts in (self.jwks_fetchers, self.feed_fetches, self.statistics):
                closing.callback(_flush_if_reachable, counts)
            closing.callback(self.usage.close)

    def after_fork(self) -> None:
        """Let go, in a child process, of everything that is the parent's."""
        self.usage.after_fork()
        self.one_time_ids.after_fork()
        self.jwks_fetchers.after_fork()
        self.feed_fetches.after_fork()
        self.secret_networks.after_fork()
        self.statistics.after_fork()
        self.thread_connections.close()
        self.engine.dispose(close=False)


def _flush_if_reachable(counts: SqlJwksFetchers | SqlFeedFetches | SqlStatistics) -> None:
    """Write counts at the end; they say how busy it was, so losing the last of them is no fault of the shutdown."""
    with suppress(Unavailable):
        counts.flush()


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
    key_stores: Mapping[str, KeyStore] | None = None,
) -> Store:
    """Open a migrated database, seeding it on first sight.

    Raises:
        Unavailable: the database cannot be reached, or its schema is not this program's.
        WrongMasterKey: the database was sealed under another master key.
    """
    fault = schema_fault(engine)
    if fault:
        raise Unavailable(fault)
    sealed = _vault(engine, master)
    audit_key, pepper = (master.open(f"vault:{purpose}", sealed[purpose]) for purpose in (_AUDIT, _PEPPER))
    held = ThreadConnections(engine)
    accounts = SqlAccounts(engine, audit_key)
    usage = SqlUsageBuffer(engine, background=background)
    store = Store(
        accounts=accounts,
        sessions=SqlSessions(engine, held),
        usage=usage,
        usage_reports=SqlUsageReports(engine, usage, clock),
        changes=SqlChangeReads(engine, held, clock),
        kill_reads=SqlKillReads(engine, held, clock),
        feed_fetches=SqlFeedFetches(engine),
        event_streams=SqlEventStreams(engine, held, accounts, master),
        hot_path=SqlHotPathReads(held, clock),
        one_time_ids=SqlOneTimeIds(engine, held),
        token_limits=SqlTokenLimits(engine, held),
        keys=SqlSigningKeys(engine, held, accounts, master, key_stores or {"database": DatabaseKeyStore(master)}),
        jwks_fetchers=SqlJwksFetchers(engine, held),
        sign_ins=SqlSignIns(engine),
        login_attempts=SqlLoginAttemptCounter(engine),
        credential_reads=SqlCredentialReads(engine),
        shared_secrets=SqlSharedSecretReads(engine),
        user_reads=SqlUserReads(engine),
        audit_reads=SqlAuditReads(engine, audit_key),
        checkpoints=SqlAuditCheckpoints(engine, audit_key, accounts),
        token_reads=SqlTokenReads(engine),
        expiring_reads=SqlExpiringReads(engine),
        webhooks=SqlWebhookReads(engine),
        outbox=SqlOutbox(engine),
        leaks=SqlLeakReads(engine),
        unused=SqlUnusedReads(engine),
        old_secrets=SqlOldSecretReads(engine),
        secret_networks=SqlSecretNetworks(engine),
        statistics=SqlStatistics(engine),
        pepper=pepper,
        thread_connections=held,
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
        connection.execute(insert(settings).values(**DEFAULT_SETTINGS))
        connection.execute(insert(audit_head).values(**genesis_head(fresh[_AUDIT])))
    return found


__all__ = ["Store", "Unavailable", "open_store"]
