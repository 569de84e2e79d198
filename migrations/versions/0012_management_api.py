"""The resource server of the management API, and which of its requests had their effect (INV-23).

The version before goes on working on it: it takes the one row with a purpose for an ordinary resource server, and an
operator makes that row once all nodes run this version (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column with its index, and the table; no row is touched."""
    op.add_column("resource_servers", sa.Column("purpose", sa.String(16)))
    op.create_index("uq_resource_servers_purpose", "resource_servers", ["purpose"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key_hash", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_at", "idempotency_keys", ["at"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("idempotency_keys")
    op.drop_index("uq_resource_servers_purpose", "resource_servers")
    op.drop_column("resource_servers", "purpose")
