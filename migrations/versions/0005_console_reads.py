"""What the console shows: who used a credential from where and how often, forms sent twice, and the audit by filter.

Only columns that may be absent, new tables and indexes: a program of the version
before goes on working on it (INV-24). What was used before this step has no peer.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.String(64)
INSTANT = sa.BigInteger()
PEER = sa.String(45)
AGENT = sa.String(200)

_COLUMNS = (
    ("secrets", "last_used_peer", PEER),
    ("secrets", "last_used_agent", AGENT),
    ("sessions", "issued_peer", PEER),
    ("sessions", "last_used_peer", PEER),
    ("resource_servers", "last_asked_at", INSTANT),
)
_AUDIT = (("at",), ("actor", "at"), ("event", "at"), ("target", "at"))


def upgrade() -> None:
    """Add them."""
    op.add_column(
        "settings",
        sa.Column("max_credentials_per_user", sa.Integer(), nullable=False, server_default=sa.text("50")),
    )
    for table, name, kind in _COLUMNS:
        op.add_column(table, sa.Column(name, kind))
    op.create_table(
        "credential_use",
        sa.Column("client_id", ID, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("requested_at", INSTANT),
        sa.Column("requested_peer", PEER),
        sa.Column("requested_agent", AGENT),
        sa.PrimaryKeyConstraint("client_id", name="pk_credential_use"),
    )
    op.create_table(
        "token_requests",
        sa.Column("client_id", ID, nullable=False),
        sa.Column("day", INSTANT, autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "day", "outcome", name="pk_token_requests"),
    )
    op.create_index("ix_token_requests_day", "token_requests", ["day"])
    op.create_table(
        "form_keys",
        sa.Column("scope", ID, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key_hash", name="pk_form_keys"),
    )
    op.create_index("ix_form_keys_at", "form_keys", ["at"])
    op.create_index("ix_credential_roles_role_id", "credential_roles", ["role_id"])
    _index_where("ix_sessions_live", ["client_id", "expires_at"], "ended_at IS NULL")
    _index_where("ix_sessions_ended_by_hand", ["client_id"], "end_reason IN ('ended_by_owner', 'ended_by_operator')")
    # What was used before has a last use, as far as the secrets tell.
    op.execute(
        "INSERT INTO credential_use (client_id, last_used_at, requested_at) "
        "SELECT client_id, max(last_used_at), max(last_used_at) FROM secrets "
        "WHERE last_used_at IS NOT NULL GROUP BY client_id"
    )
    for columns in _AUDIT:
        op.create_index("_".join(("ix_audit", *columns, "seq")), "audit", [*columns, "seq"])
    op.drop_index("ix_audit_target", "audit")


def downgrade() -> None:
    """Take them away; what they told is lost, nothing else."""
    op.create_index("ix_audit_target", "audit", ["target"])
    for columns in _AUDIT:
        op.drop_index("_".join(("ix_audit", *columns, "seq")), "audit")
    op.drop_index("ix_credential_roles_role_id", "credential_roles")
    op.drop_index("ix_sessions_ended_by_hand", "sessions")
    op.drop_index("ix_sessions_live", "sessions")
    for table in ("form_keys", "token_requests", "credential_use"):
        op.drop_table(table)  # and its indexes
    for table, name, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
    op.drop_column("settings", "max_credentials_per_user")


def _index_where(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "sessions", columns, sqlite_where=where, postgresql_where=where)
