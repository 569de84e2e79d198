"""How long a session stays on record behind its end becomes a general setting.

The version before goes on working on it: it keeps 30 days, which is the default here (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; installations keep the 30 days they had."""
    op.add_column("settings", sa.Column("session_retention_days", sa.Integer(), nullable=False, server_default="30"))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("settings", "session_retention_days")
