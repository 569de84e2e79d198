"""Indexes for the lists and counts of the console, so that each page costs what it shows and not what is stored.

Nothing but indexes: a program of the version before goes on working on it (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEPT = "deleted_at IS NULL"
_PARTIAL = (
    # All that filters of a list look at stands in the index itself.
    (
        "ix_credentials_kept",
        "credentials",
        ["created_at", "client_id", "owner_id", "expires_at", "disabled_at", "name"],
        _KEPT,
    ),
    ("ix_credentials_kept_owner", "credentials", ["owner_id", "client_id"], _KEPT),
    ("ix_credentials_deleted", "credentials", ["client_id"], "deleted_at IS NOT NULL"),
    ("ix_secrets_ends_at", "secrets", ["ends_at", "client_id"], "ends_at IS NOT NULL"),
    ("ix_sessions_live_audience", "sessions", ["audience", "kid", "expires_at"], "ended_at IS NULL"),
)


def upgrade() -> None:
    """Add them."""
    for name, table, columns, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_audit_actor_event_at_seq", "audit", ["actor", "event", "at", "seq"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_audit_actor_event_at_seq", "audit")
    for name, table, _columns, _condition in reversed(_PARTIAL):
        op.drop_index(name, table)
