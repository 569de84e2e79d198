"""How long a resource server may trust an answer of introspection: the staleness bound S, in seconds.

The version before goes on working on it: its answers name no lease, which means none (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; 0 asks the server for each call, as until now."""
    op.add_column("resource_servers", sa.Column("max_staleness", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("resource_servers", "max_staleness")
