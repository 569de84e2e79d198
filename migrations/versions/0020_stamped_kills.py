"""When an end was written, to the millisecond, so that a probe can say how soon it was obeyed.

The version before goes on working on it: it writes ends without the stamp, which no probe measures then (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the stamp; what ended before has none."""
    op.add_column("kills", sa.Column("stamped_ms", sa.BigInteger()))


def downgrade() -> None:
    """Drop the stamp."""
    op.drop_column("kills", "stamped_ms")
