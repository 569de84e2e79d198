"""Wrong passwords, counted for all processes together.

Only a new table: a program of the version before goes on counting by itself (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "sign_in_tries",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_sign_in_tries_last_at", "sign_in_tries", ["last_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_sign_in_tries_last_at", "sign_in_tries")
    op.drop_table("sign_in_tries")
