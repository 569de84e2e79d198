"""Every column, once. Instants are whole seconds of UTC; ids are never used twice (INV-12).

One module, because the tables refer to each other, and a migration changes all of it at once or nothing.
"""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
db = SQLAlchemy(metadata=metadata)

_ID = String(64)
_PEER = String(45)
"""Room for every spelling of an IPv6 address."""

_AGENT = String(200)

settings = Table(
    "settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("idle_timeout_minutes", Integer, nullable=False),
    Column("max_token_lifetime_minutes", Integer, nullable=False),
    Column("max_credential_days", Integer, nullable=False),
    Column("max_credentials_per_user", Integer, nullable=False, server_default=text("50")),
    Column("default_audience", String(255)),
    Column("token_alg", String(16), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("used_since", BigInteger, nullable=False, server_default="0"),
    Column("issued_since", BigInteger, nullable=False, server_default="0"),
    Column("key_rotation_days", Integer, server_default="0", nullable=False),
    Column("key_announcement_hours", Integer, server_default="24", nullable=False),
    Column("key_patience_hours", Integer, server_default="168", nullable=False),
    Column("post_quantum", Integer, server_default="0", nullable=False),
    Column("session_retention_days", Integer, server_default="30", nullable=False),
    Column("client_secrets_allowed", Integer, server_default="1", nullable=False),
    Column("bound_tokens_required", Integer, server_default="0", nullable=False),
    Column("self_rotation", Integer, server_default="0", nullable=False),
    Column("unused_disable_days", Integer, server_default="0", nullable=False),
    Column("secret_notice_days", Integer, server_default="0", nullable=False),
    Column("old_secret_silent_hours", Integer, server_default="0", nullable=False),
    Column("usage_retention_days", Integer, server_default="400", nullable=False),
    Column("unused_policy_since", BigInteger, server_default="0", nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("idle_timeout_minutes BETWEEN 1 AND 1440", name="idle_timeout"),
)

vault = Table(
    "vault",
    metadata,
    Column("purpose", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("username", String(128), nullable=False),
    Column("folded_username", String(128), nullable=False, unique=True),
    Column("password_hash", Text),
    Column("email", String(254)),
    Column("role_version", Integer, nullable=False),
    Column("disabled_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)

roles = Table(
    "roles",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("permissions", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    CheckConstraint("kind IN ('operational', 'builder')", name="kind"),
)
_live = text("deleted_at IS NULL")
Index("uq_roles_live_name", roles.c.name, unique=True, sqlite_where=_live, postgresql_where=_live)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", _ID, ForeignKey("users.id"), primary_key=True),
    Column("role_id", _ID, ForeignKey("roles.id"), primary_key=True, index=True),
    Column("granted_at", BigInteger, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("client_id", _ID, primary_key=True),
    Column("owner_id", _ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("version", Integer, nullable=False),
    Column("enabled_at", BigInteger),  # again, after it was disabled
    Column("restrictions", Text),  # rules/client_authentication/restrictions; NULL: none
)
_gone = text("deleted_at IS NOT NULL")
# All that the filters of a list look at stands in the index itself.
Index(
    "ix_credentials_kept",
    *(credentials.c[name] for name in ("created_at", "client_id", "owner_id", "expires_at", "disabled_at", "name")),
    sqlite_where=_live,
    postgresql_where=_live,
)
Index(
    "ix_credentials_kept_owner",
    credentials.c.owner_id,
    credentials.c.client_id,
    sqlite_where=_live,
    postgresql_where=_live,
)
Index("ix_credentials_deleted", credentials.c.client_id, sqlite_where=_gone, postgresql_where=_gone)

credential_roles = Table(
    "credential_roles",
    metadata,
    Column("client_id", _ID, ForeignKey("credentials.client_id"), primary_key=True),
    Column("role_id", _ID, ForeignKey("roles.id"), primary_key=True, index=True),
)

secrets = Table(
    "secrets",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("client_id", _ID, ForeignKey("credentials.client_id"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False),
    Column("hint", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("last_used_peer", _PEER),
    Column("last_used_agent", _AGENT),
    Column("public_jwk", Text),  # of a key, whose hash is empty; NULL for a secret
    Column("first_used_at", BigInteger),
    Column("trust", Text),  # rules/client_authentication/trust, certificate; the hash is empty; NULL for secrets, keys
    Column("trust_issuer", String(255)),  # of a trust, to find it by
)
IS_SECRET = secrets.c.public_jwk.is_(None) & secrets.c.trust.is_(None)
"""The condition that a row of ``secrets`` is a secret, and neither a key nor a trust."""

_trusting = text("trust_issuer IS NOT NULL")
Index(
    "ix_secrets_trust_issuer",
    secrets.c.trust_issuer,
    sqlite_where=_trusting,
    postgresql_where=_trusting,
)
_secret = text("public_jwk IS NULL")
Index("ix_secrets_hash", secrets.c.hash, sqlite_where=_secret, postgresql_where=_secret)
_ending = text("ends_at IS NOT NULL")
Index("ix_secrets_ends_at", secrets.c.ends_at, secrets.c.client_id, sqlite_where=_ending, postgresql_where=_ending)

credential_use = Table(
    "credential_use",
    metadata,
    Column("client_id", _ID, primary_key=True),
    Column("last_used_at", BigInteger, nullable=False),
    Column("requested_at", BigInteger),
    Column("requested_peer", _PEER),
    Column("requested_agent", _AGENT),
)

token_requests = Table(
    "token_requests",
    metadata,
    Column("client_id", _ID, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", String(32), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Index("ix_token_requests_day", "day"),
)

form_keys = Table(
    "form_keys",
    metadata,
    Column("scope", _ID, primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("subject", _ID, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", _ID, primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

resource_server_keys = Table(
    "resource_server_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("client_id", _ID, nullable=False, index=True),
    Column("public_jwk", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger),
)

one_time_ids = Table(
    "one_time_ids",
    metadata,
    Column("id_hash", String(64), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

token_request_rates = Table(
    "token_request_rates",
    metadata,
    Column("client_id", _ID, primary_key=True),
    Column("empty_at_ms", BigInteger, nullable=False),  # when the leaky bucket of its requests will be empty
)

schema_window = Table(
    "schema_window",
    metadata,
    Column("revision", String(32), primary_key=True),
    Column("runs_from", String(32), nullable=False),
)

resource_servers = Table(
    "resource_servers",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("client_id", _ID, nullable=False, unique=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("audience", String(255), nullable=False, unique=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("secret_hint", String(16), nullable=False),
    Column("token_alg", String(16)),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("last_asked_at", BigInteger),
    Column("jwks_client", String(64)),
    Column("max_staleness", Integer, nullable=False, server_default="0"),
    Column("token_typ", String(8), nullable=False, server_default="at+jwt"),
    Column("requires", String(16)),  # rules/client_authentication/policy, with a blank between; NULL: nothing
    Column("purpose", String(16)),  # NULL: registered by somebody for an API of theirs
    Index("uq_resource_servers_jwks_client", "jwks_client", unique=True),
    Index("uq_resource_servers_purpose", "purpose", unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("jti", _ID, primary_key=True),
    Column("client_id", _ID, nullable=False),
    Column("secret_id", _ID, nullable=False),
    Column("kid", _ID, nullable=False),
    Column("audience", String(255), nullable=False),
    Column("roles", Text, nullable=False),
    Column("role_version", Integer, nullable=False),
    Column("credential_version", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("last_used_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("end_reason", String(32)),
    Column("issued_peer", _PEER),
    Column("last_used_peer", _PEER),
    Column("token_hash", String(43)),  # rules/token_hash; NULL: recorded by a version without it
    Index("ix_sessions_client_id_issued_at", "client_id", "issued_at"),
)
_not_ended = text("ended_at IS NULL")
Index(
    "ix_sessions_live",
    sessions.c.client_id,
    sessions.c.expires_at,
    sqlite_where=_not_ended,
    postgresql_where=_not_ended,
)
Index(
    "ix_sessions_live_audience",
    *(sessions.c[name] for name in ("audience", "kid", "expires_at")),
    sqlite_where=_not_ended,
    postgresql_where=_not_ended,
)
ENDED_BY_HAND = text("end_reason IN ('ended_by_owner', 'ended_by_operator')")
Index("ix_sessions_ended_by_hand", sessions.c.client_id, sqlite_where=ENDED_BY_HAND, postgresql_where=ENDED_BY_HAND)

_ended_by_now = text("ended_at IS NOT NULL")
Index(
    "ix_sessions_ended",
    sessions.c.ended_at,
    sessions.c.end_reason,
    sqlite_where=_ended_by_now,
    postgresql_where=_ended_by_now,
)

usage = Table(
    "usage",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("client_id", _ID, primary_key=True),
    Column("secret_id", _ID, primary_key=True),
    Column("resource_server_id", _ID, primary_key=True),
    Column("method", String(16), primary_key=True),
    Column("route", String(200), primary_key=True),
    Column("uses", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    Index("ix_usage_client_id_day", "client_id", "day"),
)

usage_writers = Table(
    "usage_writers",
    metadata,
    Column("writer", _ID, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

feed_fetches = Table(
    "feed_fetches",
    metadata,
    Column("resource_server_id", _ID, primary_key=True),
    Column("fetches", BigInteger, nullable=False),
    Column("fetched_at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

usage_reports = Table(
    "usage_reports",
    metadata,
    Column("resource_server_id", _ID, primary_key=True),
    Column("report_id", _ID, primary_key=True),
    Column("digest", String(64)),
    Column("at", BigInteger, nullable=False, index=True),
    Column("accepted", BigInteger, nullable=False),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", _ID, primary_key=True),
    Column("alg", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("public_jwk", Text, nullable=False),
    Column("sealed_private", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("activated_at", BigInteger),
    Column("retired_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("token_life", Integer, nullable=False),
    Column("holder", String(16), server_default="database", nullable=False),
    CheckConstraint("state IN ('staged', 'active', 'retired', 'removed', 'compromised')", name="state"),
)
_active = text("state = 'active'")
Index("uq_signing_keys_active_alg", signing_keys.c.alg, unique=True, sqlite_where=_active, postgresql_where=_active)

jwks_verifiers = Table(
    "jwks_verifiers",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("fetches", BigInteger, nullable=False),
    Column("last_fetched_at", BigInteger, nullable=False),
    Column("seen", Text, nullable=False),
)

statistics = Table(
    "statistics",
    metadata,
    Column("measure", String(16), primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # 0: how it stands
    Column("label", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

witnesses = Table(
    "witnesses",
    metadata,
    Column("node", _ID, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("event", String(64), nullable=False),
    Column("target", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_at_seq", "at", "seq"),
    Index("ix_audit_actor_at_seq", "actor", "at", "seq"),
    Index("ix_audit_event_at_seq", "event", "at", "seq"),
    Index("ix_audit_actor_event_at_seq", "actor", "event", "at", "seq"),
    Index("ix_audit_target_at_seq", "target", "at", "seq"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
    Column("kill_seq", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("kid", _ID, nullable=False),
    Column("jws", Text, nullable=False),
    Column("seal", String(64), nullable=False),
)

kills = Table(
    "kills",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", _ID, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("stamped_ms", BigInteger),  # the database's clock when it was written; NULL: by a version without it
)

event_streams = Table(
    "event_streams",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("resource_server_id", _ID, ForeignKey("resource_servers.id"), nullable=False, index=True),
    Column("method", String(32), nullable=False),
    Column("endpoint_url", Text, nullable=False),
    Column("events_requested", Text),  # JSON; NULL: whatever there is
    Column("description", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("without_users", Text, nullable=False),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Column("verified_at", BigInteger),
    Column("cursor", BigInteger, nullable=False),
    Column("acknowledged", Text, nullable=False),  # JSON
    Column("messages", Text, nullable=False),  # JSON
    Column("delivered", BigInteger, nullable=False),
    Column("delivered_at", BigInteger),
    Column("failures", Integer, nullable=False),
    Column("next_push_at", BigInteger, nullable=False),
    Column("claimed_until", BigInteger, nullable=False),
    Column("last_error", String(200), nullable=False),
    Column("last_error_at", BigInteger),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("id_hash", _ID, primary_key=True),
    Column("handle", _ID, nullable=False, unique=True),
    Column("user_id", _ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("method", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False, index=True),
    Column("proof_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("pending", Text, nullable=False),
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("key", _ID, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False, index=True),
)

console_preferences = Table(
    "console_preferences",
    metadata,
    Column("user_id", _ID, ForeignKey("users.id"), primary_key=True),
    Column("language", String(8), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("theme", String(8), nullable=False),
    Column("shortcuts", Integer, nullable=False),
)

login_links = Table(
    "login_links",
    metadata,
    Column("hash", _ID, primary_key=True),
    Column("user_id", _ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user_id", _ID, ForeignKey("users.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
)

leak_reporters = Table(
    "leak_reporters",
    metadata,
    Column("identifier", String(128), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

event_outbox = Table(
    "event_outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("audit_seq", BigInteger, nullable=False),  # records up to here are collected
    Column("seq", BigInteger, nullable=False),  # the newest event
    Column("swept_at", BigInteger, nullable=False),
    Column("holder", _ID, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("unused_swept_at", BigInteger, server_default="0", nullable=False),
    Column("mail", Integer, server_default="0", nullable=False),  # rules/events/mail
    Column("chain_walked_at", BigInteger),  # when the chain of audit records was last found whole
    Column("chain_fault", String(200)),  # what was found wrong with it since
    CheckConstraint("id = 1", name="one_row"),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    Column("key", String(160), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("object", String(255), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("data", Text, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("url", String(1000), nullable=False),
    Column("description", String(100), nullable=False),
    Column("events", Text, nullable=False),  # types, with a blank between; empty: all
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("generation", Integer, nullable=False),
    Column("old_ends_at", BigInteger),
    Column("version", Integer, nullable=False),
)

event_deliveries = Table(
    "event_deliveries",
    metadata,
    Column("target", _ID, primary_key=True),
    Column("event_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("object", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger),
    Column("delivered_at", BigInteger),
    Column("last_status", Integer),
    Column("last_error", String(200), nullable=False),
    Index("ix_event_deliveries_event_seq", "event_seq"),
    CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
)
_pending = text("state = 'pending'")
for _name, _columns in (("due", ("target", "next_at")), ("order", ("target", "object", "event_seq"))):
    Index(
        f"ix_event_deliveries_{_name}",
        *(event_deliveries.c[each] for each in _columns),
        sqlite_where=_pending,
        postgresql_where=_pending,
    )

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("target", _ID, primary_key=True),
    Column("event_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("status", Integer),
    Column("error", String(200), nullable=False),
    Index("ix_delivery_attempts_event_seq", "event_seq"),
)

secret_networks = Table(
    "secret_networks",
    metadata,
    Column("secret_id", _ID, primary_key=True),
    Column("network", _PEER, primary_key=True),
    Column("first_seen_at", BigInteger, nullable=False),
)
