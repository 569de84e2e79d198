"""What the watch over the chain of audit records found.

The version before goes on working on it: it reads and writes the other columns (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the columns; nothing is known yet."""
    op.add_column("event_outbox", sa.Column("chain_walked_at", sa.BigInteger()))
    op.add_column("event_outbox", sa.Column("chain_fault", sa.String(200)))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("event_outbox", "chain_fault")
    op.drop_column("event_outbox", "chain_walked_at")
