"""The policy that disables what nobody used, since when it holds, and when a credential was enabled again.

The version before goes on working on it: it names none of these columns (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
runs_from = "0016"

_COLUMNS = (
    ("settings", "unused_disable_days", sa.Integer()),
    ("settings", "unused_policy_since", sa.BigInteger()),
    ("event_outbox", "unused_swept_at", sa.BigInteger()),
)


def upgrade() -> None:
    """Add the columns; the policy is off."""
    for table, column, kind in _COLUMNS:
        op.add_column(table, sa.Column(column, kind, nullable=False, server_default="0"))
    op.add_column("credentials", sa.Column("enabled_at", sa.BigInteger()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("credentials", "enabled_at")
    for table, column, _kind in reversed(_COLUMNS):
        op.drop_column(table, column)
