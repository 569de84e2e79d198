"""Public keys of clients, in the table of what authenticates them, and the ids that are good once.

The version before goes on working on it: it takes a key for a secret that nothing equals, and its tokens for those of
that secret, which they are (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns, and the table; no row is touched."""
    op.add_column("secrets", sa.Column("public_jwk", sa.Text()))
    op.add_column("secrets", sa.Column("first_used_at", sa.BigInteger()))
    op.create_table(
        "one_time_ids",
        sa.Column("id_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_one_time_ids")),
    )
    op.create_index("ix_one_time_ids_expires_at", "one_time_ids", ["expires_at"])


def downgrade() -> None:
    """Drop them; what a key obtained stays the token of an ended secret, and ends."""
    op.drop_table("one_time_ids")
    op.execute("UPDATE secrets SET ends_at = created_at WHERE public_jwk IS NOT NULL AND ends_at IS NULL")
    op.drop_column("secrets", "first_used_at")
    op.drop_column("secrets", "public_jwk")
