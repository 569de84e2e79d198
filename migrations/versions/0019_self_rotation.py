"""Whether clients may rotate their own secret by the management API.

The version before goes on working on it: it names no such column (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the setting; no, as it was."""
    op.add_column("settings", sa.Column("self_rotation", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the setting."""
    op.drop_column("settings", "self_rotation")
