"""What a credential is held to beside its roles, public keys of resource servers, and which ways are allowed.

The version before goes on working on it, but knows none of them: restrict a credential, and set a policy, once all
nodes run this version (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the columns, and the table; everything stays allowed."""
    op.add_column("credentials", sa.Column("restrictions", sa.Text()))
    op.add_column("settings", sa.Column("client_secrets_allowed", sa.Integer(), server_default="1", nullable=False))
    op.add_column("settings", sa.Column("bound_tokens_required", sa.Integer(), server_default="0", nullable=False))
    op.add_column("resource_servers", sa.Column("requires", sa.String(16)))
    op.create_table(
        "resource_server_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource_server_keys")),
    )
    op.create_index("ix_resource_server_keys_client_id", "resource_server_keys", ["client_id"])


def downgrade() -> None:
    """Drop them; a restricted credential is disabled, since nothing would hold it to its restrictions."""
    op.drop_table("resource_server_keys")
    op.drop_column("resource_servers", "requires")
    op.drop_column("settings", "bound_tokens_required")
    op.drop_column("settings", "client_secrets_allowed")
    op.execute(
        "UPDATE credentials SET disabled_at = created_at, version = version + 1"
        " WHERE restrictions IS NOT NULL AND disabled_at IS NULL"
    )
    op.drop_column("credentials", "restrictions")
