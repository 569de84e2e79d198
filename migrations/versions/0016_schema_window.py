"""How old a program may be to run on the schema: what an older one reads to start on a newer schema (INV-24).

``env.py`` writes the row after each step, from the ``runs_from`` of the migrations that were applied.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
runs_from = "0016"
"""The oldest head whose program runs on this schema: no older one reads the window."""


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "schema_window",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("runs_from", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_schema_window")),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("schema_window")
