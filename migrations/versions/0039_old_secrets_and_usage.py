"""Old secrets may end when they are silent; how long counts of uses are kept.

The version before goes on working on it: it knows neither setting, and keeps counts for 400 days (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0032"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the columns; no old secret ends early."""
    op.add_column("settings", sa.Column("old_secret_silent_hours", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("settings", sa.Column("usage_retention_days", sa.Integer(), nullable=False, server_default="400"))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("settings", "usage_retention_days")
    op.drop_column("settings", "old_secret_silent_hours")
