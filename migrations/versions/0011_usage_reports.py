"""Which usage reports of resource servers were taken, so that one sent twice counts once.

The version before goes on working on it: it does not know the table (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "usage_reports",
        sa.Column("resource_server_id", sa.String(64), nullable=False),
        sa.Column("report_id", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource_server_id", "report_id"),
    )
    op.create_index("ix_usage_reports_at", "usage_reports", ["at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("usage_reports")
