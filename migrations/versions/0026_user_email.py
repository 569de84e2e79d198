"""The address a user is mailed at, and whom mail is sent to at all.

The version before goes on working on it: it names none of these columns (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Add the columns; nobody is mailed."""
    op.add_column("users", sa.Column("email", sa.String(254)))
    op.add_column("event_outbox", sa.Column("mail", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("event_outbox", "mail")
    op.drop_column("users", "email")
