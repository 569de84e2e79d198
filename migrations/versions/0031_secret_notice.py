"""When the console asks the owner of a secret to use a key instead.

The version before goes on working on it, and asks nobody (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the column; nobody is asked."""
    op.add_column("settings", sa.Column("secret_notice_days", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("settings", "secret_notice_days")
