"""Who follows the change feed, and how far.

The version before goes on working on it: it does not know the table (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
runs_from = "0016"
"""The program before does not know the table, and needs none."""


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "feed_fetches",
        sa.Column("resource_server_id", sa.String(64), nullable=False),
        sa.Column("fetches", sa.BigInteger(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource_server_id"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("feed_fetches")
