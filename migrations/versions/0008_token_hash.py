"""The keyed hash of each token's text beside its session: the proof that it was recorded as issued (INV-33).

The version before goes on working on it: its rows have no hash, and are judged by signature until they end (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no row is touched."""
    op.add_column("sessions", sa.Column("token_hash", sa.String(43)))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("sessions", "token_hash")
