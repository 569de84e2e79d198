"""The first schema: users, roles, credentials, resource servers, sessions, usage, signing keys and the audit trail.

The same on SQLite and PostgreSQL. Instants are whole seconds of UTC in a BIGINT;
ids are text made by the program and never used twice (INV-12). Every constraint
has a name, so that a later step can drop it. One difference from the tables'
own order: what is referred to comes first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(64)
INSTANT = sa.BigInteger()


def upgrade() -> None:
    """Build it, room by room."""
    _settings_and_vault()
    _people()
    _credentials()
    _resource_servers()
    _sessions_and_usage()
    _signing_keys()
    _book_of_changes()


def downgrade() -> None:
    """Take everything down; who refers goes before who is referred to."""
    for table in (
        *("kills", "audit_head", "audit", "signing_keys", "usage_writers", "usage", "sessions", "resource_servers"),
        *("secrets", "credential_roles", "credentials", "user_roles", "roles", "users", "vault", "settings"),
    ):
        op.drop_table(table)  # and its indexes


def _settings_and_vault() -> None:
    op.create_table(
        "settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idle_timeout_minutes", sa.Integer(), nullable=False),
        sa.Column("max_token_lifetime_minutes", sa.Integer(), nullable=False),
        sa.Column("max_credential_days", sa.Integer(), nullable=False),
        sa.Column("default_audience", sa.String(255)),
        sa.Column("token_alg", sa.String(16), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_settings"),
        sa.CheckConstraint("id = 1", name=op.f("ck_settings_one_row")),
        sa.CheckConstraint("idle_timeout_minutes BETWEEN 1 AND 1440", name=op.f("ck_settings_idle_timeout")),
    )
    op.create_table(
        "vault",
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name="pk_vault"),
    )


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("username", sa.String(128), nullable=False),
        sa.Column("folded_username", sa.String(128), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("role_version", sa.Integer(), nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("folded_username", name="uq_users_folded_username"),
    )
    op.create_table(
        "roles",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("deleted_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.CheckConstraint("kind IN ('operational', 'builder')", name=op.f("ck_roles_kind")),
    )
    _unique_where("uq_roles_live_name", "roles", "name", "deleted_at IS NULL")
    op.create_table(
        "user_roles",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("role_id", ID, nullable=False),
        sa.Column("granted_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role_id", name="pk_user_roles"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_roles_user_id"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_user_roles_role_id"),
    )
    op.create_index("ix_user_roles_role_id", "user_roles", ["role_id"])


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("client_id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.Column("deleted_at", INSTANT),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_credentials"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_credentials_owner_id"),
    )
    op.create_index("ix_credentials_owner_id", "credentials", ["owner_id"])
    op.create_table(
        "credential_roles",
        sa.Column("client_id", ID, nullable=False),
        sa.Column("role_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "role_id", name="pk_credential_roles"),
        sa.ForeignKeyConstraint(["client_id"], ["credentials.client_id"], name="fk_credential_roles_client_id"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_credential_roles_role_id"),
    )
    op.create_table(
        "secrets",
        sa.Column("id", ID, nullable=False),
        sa.Column("client_id", ID, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.String(16), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT),
        sa.Column("last_used_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
        sa.ForeignKeyConstraint(["client_id"], ["credentials.client_id"], name="fk_secrets_client_id"),
    )
    op.create_index("ix_secrets_client_id", "secrets", ["client_id"])


def _resource_servers() -> None:
    op.create_table(
        "resource_servers",
        sa.Column("id", ID, nullable=False),
        sa.Column("client_id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("audience", sa.String(255), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("secret_hint", sa.String(16), nullable=False),
        sa.Column("token_alg", sa.String(16)),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_resource_servers"),
        sa.UniqueConstraint("client_id", name="uq_resource_servers_client_id"),
        sa.UniqueConstraint("name", name="uq_resource_servers_name"),
        sa.UniqueConstraint("audience", name="uq_resource_servers_audience"),
    )


def _sessions_and_usage() -> None:
    # No foreign keys here: these rows are written in batches, and outlive what they speak of.
    op.create_table(
        "sessions",
        sa.Column("jti", ID, nullable=False),
        sa.Column("client_id", ID, nullable=False),
        sa.Column("secret_id", ID, nullable=False),
        sa.Column("kid", ID, nullable=False),
        sa.Column("audience", sa.String(255), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("role_version", sa.Integer(), nullable=False),
        sa.Column("credential_version", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("end_reason", sa.String(32)),
        sa.PrimaryKeyConstraint("jti", name="pk_sessions"),
    )
    op.create_index("ix_sessions_client_id_issued_at", "sessions", ["client_id", "issued_at"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "usage",
        sa.Column("day", INSTANT, autoincrement=False, nullable=False),
        sa.Column("client_id", ID, nullable=False),
        sa.Column("secret_id", ID, nullable=False),
        sa.Column("resource_server_id", ID, nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("route", sa.String(200), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint(
            *("day", "client_id", "secret_id", "resource_server_id", "method", "route"), name="pk_usage"
        ),
    )
    op.create_index("ix_usage_client_id_day", "usage", ["client_id", "day"])
    op.create_table(
        "usage_writers",
        sa.Column("writer", ID, nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_usage_writers"),
    )


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", ID, nullable=False),
        sa.Column("alg", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("sealed_private", sa.LargeBinary()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("activated_at", INSTANT),
        sa.Column("retired_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.Column("token_life", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
        sa.CheckConstraint(
            "state IN ('staged', 'active', 'retired', 'removed', 'compromised')", name=op.f("ck_signing_keys_state")
        ),
    )
    # INV-13: the database itself refuses a second active key.
    _unique_where("uq_signing_keys_active_alg", "signing_keys", "alg", "state = 'active'")


def _book_of_changes() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_target", "audit", ["target"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
        sa.Column("kill_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_one_row")),
    )
    op.create_table(
        "kills",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_kills"),
    )


def _unique_where(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], unique=True, sqlite_where=where, postgresql_where=where)
