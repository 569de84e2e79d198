"""Counts by the hour for the charts of the security page, and an index on what ended.

The version before goes on working on it: it knows neither (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
runs_from = "0016"

_ENDED = sa.text("ended_at IS NOT NULL")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "statistics",
        sa.Column("measure", sa.String(16), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("measure", "hour", "label", name="pk_statistics"),
    )
    op.create_index(
        "ix_sessions_ended", "sessions", ["ended_at", "end_reason"], sqlite_where=_ENDED, postgresql_where=_ENDED
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_sessions_ended", "sessions")
    op.drop_table("statistics")
