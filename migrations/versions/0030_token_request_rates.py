"""How many token requests a credential sent lately, for those that are held to a number a minute.

The version before goes on working on it: it does not know the table, and issues no token for a credential whose
restrictions it cannot read (INV-24). Set the new restrictions once all nodes run this version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "token_request_rates",
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("empty_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_token_request_rates")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("token_request_rates")
