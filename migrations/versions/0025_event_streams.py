"""Event streams of resource servers (Shared Signals).

The version before goes on working on it: it does not know the table (INV-24).
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
runs_from = "0016"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "event_streams",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("resource_server_id", sa.String(64), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("events_requested", sa.Text()),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("without_users", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger()),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_push_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.String(200), nullable=False),
        sa.Column("last_error_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["resource_server_id"], ["resource_servers.id"], name="fk_event_streams_resource_server_id"
        ),
    )
    op.create_index("ix_event_streams_resource_server_id", "event_streams", ["resource_server_id"])


def downgrade() -> None:
    """Drop it, and the headers that were sealed for it."""
    op.drop_table("event_streams")
    op.execute("DELETE FROM vault WHERE purpose LIKE 'stream:%'")
