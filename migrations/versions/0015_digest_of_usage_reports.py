"""What was reported in a usage report, as a digest, so that its id does not pass for another report.

The version before goes on working on it: it names no such column, and the rows it writes have none (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("usage_reports", sa.Column("digest", sa.String(64)))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("usage_reports", "digest")
